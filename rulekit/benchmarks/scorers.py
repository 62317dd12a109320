"""Whatever scores becomes a scorer: a folder, a hub name, a `RewardModel`, a judge with rules, a URL."""

from __future__ import annotations

from pathlib import Path

from rulekit.benchmarks.contract import Scorer
from rulekit.inputs.rules import RuleSet
from rulekit.selection.rule_model import Estimates


def scorer(
    model: object,
    *,
    rules: RuleSet | None = None,
    method: str = "sum",
    estimates: Estimates | None = None,
    server: dict | None = None,
    **reading,
) -> Scorer:
    """The scorer of a model.

    Parameters
    ----------
    model
        Folder or hub name of a reward model, `rulekit.RewardModel`, URL of a server's route, a judge
        (with `rules`), or a scorer.
    rules, method, estimates
        Of a judge, as for `JudgeScorer`.
    server
        Settings of a server, as for `ServerScorer`.
    reading
        Fields of `Reading`, for a folder or a name on the hub.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If it is no reward model, or a setting does not fit.
    """
    if isinstance(model, str | Path) and not str(model).startswith(("http://", "https://")):
        return _of_folder(model, reading)
    if hasattr(model, "folder") and hasattr(model, "rewards"):
        found = _of_folder(model.folder, reading)
        found.source = model  # a model in a temporary folder takes it along when it goes
        return found
    if reading:
        raise ValueError(
            f"{next(iter(reading))} is a setting of a model's folder; allowed: none here"
        )
    if isinstance(model, str):
        from rulekit.benchmarks.server_scorer import ServerScorer

        return ServerScorer(model, **(server or {}))
    if hasattr(model, "rate"):
        from rulekit.benchmarks.judge_scorer import JudgeScorer

        if rules is None:
            raise ValueError("a judge needs rules; allowed: a RuleSet")
        return JudgeScorer(model, rules, method, estimates)
    if hasattr(model, "read") and hasattr(model, "facts"):
        return model
    raise ValueError(
        f"{model!r:.60} scores nothing; allowed: a folder or hub name of a reward model, a "
        "RewardModel, the URL of a server's route, or a judge with rules"
    )


def _of_folder(model: str | Path, reading: dict) -> Scorer:
    from rulekit.benchmarks.model_scorer import ModelScorer, Reading

    allowed = list(Reading.__dataclass_fields__)
    if unknown := [name for name in reading if name not in allowed]:
        raise ValueError(f"no setting {unknown[0]!r}; allowed: {', '.join(allowed)}")
    return ModelScorer(model, Reading(**reading))
