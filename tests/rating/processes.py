"""What the tests of the store run in processes of their own, to be killed at any moment."""

import signal
import sys
from pathlib import Path

from rulekit.rating.annotation import annotate
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store
from tests.rating.helpers import RULES, HashJudge, some_pairs


def rate_all(path, n: int, delay: float, noise: float, start, most, pipe):
    """Annotate `some_pairs(n)`; tells before each batch how many are on disk.

    Others wait at the barrier `start` before each of the first five batches; after `most` batches,
    unless None, it waits to be killed.
    """

    def tell(batches: int) -> None:
        pipe.send(batches)
        if start is not None and batches < 5:
            start.wait(60)
        if batches == most:
            signal.pause()

    judge, ledger = HashJudge(noise, tell, delay), Ledger()
    try:
        scores = annotate(some_pairs(n), RULES, judge, store=path, batch=8, ledger=ledger)
    except KeyboardInterrupt:
        pipe.send("interrupted")
    else:
        pipe.send((ledger.rated, scores.a, scores.b))


def rate_until_full(path, n: int, limit: int, pipe) -> None:
    """The same where no file may grow past `limit` bytes, and on when there is room again."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    judge, failed = HashJudge(), None
    with Store(path) as store:
        try:
            annotate(some_pairs(n), RULES, judge, store=store, batch=8)
        except OSError as error:
            failed = error.filename
        with Store(path) as reader:
            pipe.send((failed, judge.calls, len(reader)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        before = len(judge.asked)
        annotate(some_pairs(n), RULES, judge, store=store, batch=8)
        pipe.send(len(judge.asked) - before)


def rate_until_no_space(folder: str) -> None:
    """Fill a file system with ratings, make room, go on; the last line says how it went."""
    judge, n, failed = HashJudge(), 600, None
    filler = Path(folder) / "filler"
    filler.write_bytes(bytes(1_500_000))
    with Store(f"{folder}/r.sqlite") as store:
        try:
            annotate(some_pairs(n), RULES, judge, store=store, batch=8)
        except OSError as error:
            failed = error.errno
        kept = store.check()["ratings"]
        filler.unlink()
        before = len(judge.asked)
        annotate(some_pairs(n), RULES, judge, store=store, batch=8)
        print(failed, judge.calls, kept, len(judge.asked) - before, store.check()["ratings"])


def start(context, target, *arguments):
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    return process, mine


def drained(pipe) -> list:
    """What was sent whole: a kill may cut the last message (OSError) or come between two."""
    out = []
    try:
        while True:
            out.append(pipe.recv())
    except (EOFError, OSError):
        return out


def kill_often(context, path, kills: int, n: int, seed: int = 0) -> None:
    """Kill processes that annotate `some_pairs(n)`, and see each time what is on disk.

    Each does five batches at most, so `n` leaves work for all of them.
    """
    import numpy as np

    from tests.rating.helpers import CELLS

    rng, per_batch, before = np.random.default_rng(seed), 8 * CELLS, 0
    for _ in range(kills):
        process, pipe = start(context, rate_all, path, n, 0.0, 0.0, None, 5)
        assert pipe.poll(60), "the process did not begin"
        process.join(rng.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        (*_, batches) = [0, *drained(pipe)]
        with Store(path) as store:
            kept = store.check()["ratings"] - before
            assert batches * per_batch <= kept <= (batches + 1) * per_batch, (batches, kept)
            before += kept
    process, pipe = start(context, rate_all, path, n, 0.0, 0.0, None, None)
    drained(pipe)
    process.join()


if __name__ == "__main__":
    rate_until_no_space(sys.argv[1])
