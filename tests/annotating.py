"""What the tests of the store run in processes of their own, to be killed at any moment."""

import os
import resource
import signal
import sys
import time
from hashlib import blake2b

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.rating.annotation import annotate
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store

RULES = RuleSet.from_texts([f"The response keeps promise number {j}." for j in range(12)])


class HashJudge:
    """Rates by the hash of the texts: any rating can be made again, so a wrong one shows.

    `noise` makes two judges of one identity that disagree, as two graphics cards do; `delay` makes
    each call last so many seconds.
    """

    identity = "hash of the texts"

    def __init__(self, noise: float = 0.0, tell=lambda calls: None, delay: float = 0.0) -> None:
        self.noise, self.tell, self.delay = noise, tell, delay
        self.calls, self.asked = 0, []  # asked: (response, rule) as often as it was asked for

    def rate(self, prompts, responses, rules, mask=None):
        self.tell(self.calls)
        self.calls += 1
        time.sleep(self.delay)
        p = np.full((len(responses), len(rules), 3), np.nan, np.float32)
        for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            for j, rule in enumerate(rules.texts):
                if mask is None or mask[i, j]:
                    self.asked.append((prompt, response, rule))
                    p[i, j] = self.one(prompt, response, rule)
        return p

    def one(self, prompt: str, response: str, rule: str) -> np.ndarray:
        digest = blake2b(f"{prompt}|{response}|{rule}".encode(), digest_size=12).digest()
        weight = np.frombuffer(digest, "<u4").astype(float) + 1
        p = (1 - self.noise) * weight / weight.sum() + self.noise / 3
        return p.astype(np.float32)


def some_pairs(n: int) -> pl.DataFrame:
    """Pairs of which half the responses occur twice."""
    rows = [
        (f"p{i}", f"question {i // 2}", f"answer {i // 2}", f"answer {i} again", 1)
        for i in range(n)
    ]
    names = ("pair_id", "prompt", "response_a", "response_b", "preference")
    return pl.DataFrame(rows, schema=names, orient="row")


def rate_all(folder, n: int, compact_at: int, delay: float, noise: float, barrier, pipe) -> None:
    """Annotate `some_pairs(n)`; tells before each batch how many are on disk."""
    judge, ledger = HashJudge(noise, pipe.send, delay), Ledger()
    if barrier is not None:
        barrier.wait(60)
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
    filler = f"{folder}/filler"
    with open(filler, "wb") as file:  # noqa: PTH123
        file.write(bytes(300_000))
    with Store(f"{folder}/store", judge.identity) as store:
        try:
            annotate(some_pairs(n), RULES, judge, store, batch=8)
        except OSError as error:
            failed = error.errno
        kept = len(store)
        os.unlink(filler)  # noqa: PTH108
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


if __name__ == "__main__":
    rate_until_no_space(sys.argv[1])
