"""Stores with bytes changed at random: what is read from them, and whether that is right or refused."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from rulekit.inputs.rules import RuleSet
from rulekit.rating.store import Store, keys, response_key, rule_key

FUZZED, _RULES, _PAGE = 48, RuleSet.from_texts([f"Promise {j} is kept." for j in range(12)]), 4096
_TEXTS = [(f"question {i}" * (i % 7), f"answer {i} " * (1 + i % 40)) for i in range(FUZZED)]
_RESPONSES = keys([response_key(*text) for text in _TEXTS])
_RULE_KEYS = keys([rule_key(text) for text in _RULES.texts])


def fuzzed_store(path: Path) -> dict[str, np.ndarray]:
    """A small store of two judges, one of them with gaps; what it must give back."""
    rng, truth = np.random.default_rng(0), {}
    with Store(path) as store:
        store.note_rules(_RULES)
        for judge in ("whole", "with gaps"):
            p = rng.random((FUZZED, len(_RULES), 4), np.float32)
            p[..., :3] /= p[..., :3].sum(axis=2, keepdims=True)
            if judge == "with gaps":
                p[rng.random(p.shape[:2]) < 0.5] = np.nan
            for i in range(0, FUZZED, 8):
                some = slice(i, i + 8)
                given = (p[some, :, :3], p[some, :, 3])
                store.add(judge, _RESPONSES[some], _RULE_KEYS, *given, texts=_TEXTS[some])
                store.note_spending(judge, {"run": "r", "cost": 1.0})
            truth[judge] = p
    return truth


def fuzz(path: Path, truth: dict[str, np.ndarray], trials: int, seed: int) -> Counter[str]:
    """How often a damaged copy gave all that is right, an error with its name, or anything else."""
    rng, whole, outcomes = np.random.default_rng(seed), path.read_bytes(), Counter()
    copy = path.with_name("damaged") / path.name
    for _ in range(trials):
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir()
        copy.write_bytes(_damaged(whole, rng))
        try:
            outcomes["right" if _read(copy, truth) else "wrong, in silence"] += 1
        except (ValueError, OSError) as error:
            named = str(copy) in str(error) and "\n" not in str(error)
            outcomes["named" if named else f"not named: {error!r}"] += 1
    return outcomes


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    match rng.integers(5):
        case 0:
            return data[: rng.integers(len(data))]
        case 1:  # a few bits anywhere
            for place in rng.integers(len(data), size=rng.integers(1, 5)):
                damaged[place] ^= 1 << int(rng.integers(8))
        case 2:  # where a page says what it holds
            place = rng.integers(len(data) // _PAGE) * _PAGE + rng.integers(60)
            damaged[place] ^= 1 << int(rng.integers(8))
        case 3:  # a page in the place of another
            to, start = rng.integers(len(data) // _PAGE, size=2) * _PAGE
            damaged[to : to + _PAGE] = data[start : start + _PAGE]
        case 4:  # a sector that was never written
            start = rng.integers(len(data) // 512) * 512
            damaged[start : start + 512] = bytes(512)
    return bytes(damaged)


def _read(path: Path, truth: dict[str, np.ndarray]) -> bool:
    with Store(path) as store:
        return all(
            np.array_equal(store.get(judge, _RESPONSES, _RULE_KEYS), p, equal_nan=True)
            and store.count(judge) == (~np.isnan(p[..., 0])).sum()
            and store.spending(judge)["cost"] == FUZZED // 8
            for judge, p in truth.items()
        )
