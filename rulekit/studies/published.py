"""What a run measured beside what was published, each figure marked as one or the other.

Frames of `ways` and `results` come in, rows of one card go out. Notebook 10 shows it.
"""

from __future__ import annotations

import polars as pl

from rulekit.measures import wilson
from rulekit.studies.gains import accuracy_table, paired_gains
from rulekit.studies.phrases import compared, listed, percent, verdict
from rulekit.studies.ways import Ways

PUBLISHED, MEASURED = "published, other data", "measured in this run"
_SAFETY = 740  # items of RewardBench's section Safety
# Model → share of RewardBench's section Safety, as its authors ran it or as the board has it.
_REPORTED = (
    ("the paper's reward model, 8B, RewardBench Safety", 0.951),
    ("the model it began from, 8B, RewardBench Safety", 0.927),
)
_BOARDS = (  # section, the base, the paper's reward model: in per cent
    ("RewardBench, Chat", 94.69, 92.2),
    ("RewardBench, Chat Hard", 88.38, 89.0),
    ("RewardBench, Safety", 92.70, 95.1),
    ("RewardBench, Reasoning", 96.75, 93.5),
    ("RewardBench 2, Safety", 94.22, 97.56),
    ("RewardBench 2, Factuality", 69.68, 65.47),
    ("RewardBench 2, Precise IF", 40.62, 37.5),
    ("RewardBench 2, Math", 60.11, 56.28),
    ("RewardBench 2, Focus", 94.14, 90.71),
    ("RewardBench 2, Ties", 71.69, 67.52),
    ("RewardBench 2, overall", 71.75, 69.17),
)


def scorecard(table: pl.DataFrame, reward: pl.DataFrame) -> pl.DataFrame:
    """Published figures and those of a run, a row each.

    Parameters
    ----------
    table
        From `results_table`.
    reward
        From `results_reward`; may be empty.

    Returns
    -------
    ``name``, ``value``, ``low``, ``high``, shares in [0, 1], ``n`` and ``source``, published or
    measured. A published share has the interval that its number of items allows.

    References
    ----------
    X. Li et al., "Data-adaptive Safety Rules for Training Reward Models" (2025); the records of
    RewardBench.
    """
    rows = []
    for name, value in _REPORTED:
        low, high = wilson(value * _SAFETY, _SAFETY)
        ends = {"value": value, "low": low, "high": high}
        rows.append({"name": name} | ends | {"n": _SAFETY, "source": PUBLISHED})
    learned = [row for row in reward.iter_rows(named=True) if row["name"].startswith("trained on")]
    for kind, found in (("reward model ", learned), ("label, ", table.to_dicts())):
        for row in found:
            kept = {key: row[key] for key in ("value", "low", "high", "n")}
            rows.append({"name": f"{kind}{row['name']}"} | kept | {"source": MEASURED})
    return pl.DataFrame(rows)


def published_boards() -> pl.DataFrame:
    """What the published gain in safety cost elsewhere, section by section.

    Returns
    -------
    ``section``, ``base`` and ``after`` training on labels from rules, and ``change``, in per cent.
    """
    rows = [(name, base, after, after - base) for name, base, after in _BOARDS]
    return pl.DataFrame(rows, schema=["section", "base", "after", "change"], orient="row")


def when_not_to(pairs: pl.DataFrame, ways: Ways, reward: pl.DataFrame, known: bool) -> str:
    """In which cases labels from rules should be left alone, in sentences made of a run's figures.

    Parameters
    ----------
    pairs, ways, known
        As for `results_table`.
    reward
        As for `results_findings`.

    Returns
    -------
    Markdown, a list.
    """
    said = [
        "**Not where nobody can check.** Label 30 pairs by hand first; without them no figure "
        "here says that a label is right."
    ]
    if known:
        best = accuracy_table(pairs, ways.labels).sort("value").row(-1, named=True)
        said.append(
            f"**Not where a wrong label is dear.** The best way here, *{best['name']}*, still errs "
            f"on {percent(1 - best['value'], 0)} of the pairs."
        )
        chance = next(name for name in ways.labels if "at random" in name)
        most = max(ways.rated.values())
        for row in paired_gains(pairs, ways.labels, chance).to_dicts():
            if ways.rated[row["name"]] < most and verdict(row) <= 0:
                clause = compared("it", "as many rules at random", row)
                said.append(f"**Not to save ratings by** *{row['name']}*: {clause}.")
    truth = reward.filter(pl.col("name").str.contains("trained on known"))
    if known and len(truth) and truth["low"][0] <= 0.5:
        said.append(
            "**Not with this small encoder.** It learns nothing even from the known preferences."
        )
    said.append(
        "**Not for everything at once.** The published safety gain was paid for in reasoning, "
        "factuality and mathematics (the table above)."
    )
    return listed(said)
