"""What the tests of the store run in processes of their own, to be killed at any moment."""

import os
import resource
import signal
import sys
from pathlib import Path

from rulekit.rating.annotation import annotate
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store
from tests.rating.helpers import RULES, HashJudge, some_pairs


def rate_all(folder, n: int, compact_at: int, delay: float, noise: float, start, most, pipe):
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
    with Store(folder, judge.identity, compact_at=compact_at) as store:
        scores = annotate(some_pairs(n), RULES, judge, store, batch=8, ledger=ledger)
    pipe.send((ledger.rated, scores.a, scores.b))


def rate_until_full(folder, n: int, compact_at: int, limit: int, pipe) -> None:
    """The same where no file may grow past `limit` bytes, and on when there is room again."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    judge = HashJudge()
    with Store(folder, judge.identity, compact_at=compact_at) as store:
        try:
            annotate(some_pairs(n), RULES, judge, store, batch=8)
        except OSError as error:
            failed = os.strerror(error.errno)
        with Store(folder, judge.identity) as reader:
            pipe.send((failed, judge.calls, len(reader)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        before = len(judge.asked)
        annotate(some_pairs(n), RULES, judge, store, batch=8)
        pipe.send(len(judge.asked) - before)


def rate_until_no_space(folder: str) -> None:
    """Fill a file system with ratings, make room, go on; the last line says how it went."""
    judge, n = HashJudge(), 600
    filler = Path(folder) / "filler"
    filler.write_bytes(bytes(300_000))
    with Store(f"{folder}/store", judge.identity) as store:
        try:
            annotate(some_pairs(n), RULES, judge, store, batch=8)
        except OSError as error:
            failed = error.errno
        kept = len(store)
        filler.unlink()
        before = len(judge.asked)
        annotate(some_pairs(n), RULES, judge, store, batch=8)
        store.verify()
        print(failed, judge.calls, kept, len(judge.asked) - before, len(store))


def rate_until_step(folder, n: int, compact_at: int, step: int, pipe) -> None:
    """The same, killed at a step on the disk; a write is killed half way."""
    steps, write = 0, os.write

    def deadly(call):
        def wrapped(*arguments, **named):
            nonlocal steps
            steps += 1
            if steps == step:
                if call is write:
                    write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return wrapped

    def tell(batches):
        pipe.send(batches)
        if not batches:  # from here on only the store touches the disk
            for name in ("write", "fsync", "replace", "unlink", "rmdir", "mkdir"):
                setattr(os, name, deadly(getattr(os, name)))

    judge = HashJudge(tell=tell)
    with Store(folder, judge.identity, compact_at=compact_at) as store:
        annotate(some_pairs(n), RULES, judge, store, batch=8)
    pipe.send("done")


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


if __name__ == "__main__":
    rate_until_no_space(sys.argv[1])
