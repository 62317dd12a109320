"""A judge whose every rating can be made again, its pairs and rules, and what a store of them must hold."""

import time
from hashlib import blake2b

import numpy as np
import polars as pl

import rulekit as rk
from rulekit.inputs.rules import RuleSet
from rulekit.judges import Rating, judge
from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store
from tests.judges.faulty_server import Server

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
        return Rating(p)

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


CELLS = len(RULES)
FEW = rk.RuleSet(RULES.rules[:2])


def expected(n: int) -> rk.Scores:
    """Scores of `some_pairs(n)` straight from the judge."""
    pairs, judge = some_pairs(n), HashJudge()
    sides = (pairs["response_a"], pairs["response_b"])
    a, b = (judge.rate(pairs["prompt"], side, RULES).probabilities for side in sides)
    identity = rk.Identity.of(RULES, pairs)
    return rk.Scores(a[..., 2] - a[..., 0], b[..., 2] - b[..., 0], identity=identity)


def filled(path, n: int = 60) -> None:
    annotate(some_pairs(n), RULES, HashJudge(), store=path, batch=8)


def assert_whole(path, n: int) -> None:
    """Every rating of `some_pairs(n)` is there, right, and once."""
    judge = HashJudge()
    with Store(path) as store:
        n_responses = n + (n + 1) // 2
        assert len(store) == n_responses * CELLS
        store.check()
        scores = annotate(some_pairs(n), RULES, judge, store=store)
    assert not judge.asked
    assert np.array_equal(scores.a, expected(n).a)
    assert np.array_equal(scores.b, expected(n).b)


def named(pairs: pl.DataFrame, k: int) -> rk.Selection:
    """Rules named at random, always the same ones."""
    rng = np.random.default_rng(3)
    order = np.argsort(rng.random((len(pairs), CELLS)), axis=1)[:, :k]
    return rk.Selection(order, "named", CELLS, identity=rk.Identity.of(RULES, pairs))


def dialogues() -> pl.DataFrame:
    turns = [("user", "Hello"), ("assistant", "Hi there"), ("user", "How do I bake?")]
    prompt = [{"role": role, "content": content} for role, content in turns]
    rows = [("d", prompt, "Mix flour.", "No.", 1), ("s", prompt[:1], "Good day.", "No.", 1)]
    names = ("pair_id", "prompt", "response_a", "response_b", "preference")
    return rk.inputs.check_pairs(pl.DataFrame(rows, schema=names, orient="row"))


def steady(body: dict) -> dict[str, float]:
    return {"Yes": 0.6, "No": 0.3, "Irrelevant": 0.05, "Well": 0.05}


def refuses(*texts: str):
    def fault(n: int, body: dict) -> str | None:
        said = body["messages"][0]["content"]
        return "bad_request" if any(f"\n{t}\n" in said for t in texts) else None

    return fault


def judge_at(server: Server, **options):
    options = {"limits": {"retries": 0, "concurrency": 4}} | options
    return judge("server", model="m", base_url=server.url, method="logprobs", **options)
