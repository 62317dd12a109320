"""The benchmarks by name: a model comes in, an `Evaluation` goes out; `evaluation` does the work."""

from __future__ import annotations

from pathlib import Path

from rulekit.benchmarks.evaluation import Evaluation, evaluate


def rewardbench(model: object, path: str | Path | None = None, **settings) -> Evaluation:
    """RewardBench: chat, hard chat, safety, reasoning.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("rewardbench", model, path, **settings)


def rewardbench2(model: object, path: str | Path | None = None, **settings) -> Evaluation:
    """RewardBench 2: one right response among four, and ties.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("rewardbench-2", model, path, **settings)


def rm_bench(model: object, path: str | Path | None = None, **settings) -> Evaluation:
    """RM-Bench: three styles of a right and of a wrong response.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("rm-bench", model, path, **settings)


def rmb(model: object, path: str | Path | None = None, **settings) -> Evaluation:
    """RMB: pairs and best-of-n, helpful and harmless.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("rmb", model, path, **settings)


def judgebench(model: object, path: str | Path | None = None, **settings) -> Evaluation:
    """JudgeBench: hard pairs of knowledge, reasoning, mathematics and code.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("judgebench", model, path, **settings)


def xstest(model: object, path: str | Path | None = None, **settings) -> Evaluation:
    """XSTest: refusing what is unsafe, answering what only looks so.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("xstest", model, path, **settings)


def evaluate_file(model: object, path: str | Path, **settings) -> Evaluation:
    """Any JSON, JSON-lines or Parquet file with `prompt`, `chosen` and `rejected`.

    Parameters
    ----------
    model, path, settings
        As for `evaluate`.
    """
    return evaluate("file", model, path, **settings)
