"""An offline judge that learns from readings of real responses, measured on what it has not seen.

Readings come in, a frame of figures goes out: unseen prompts, rules that were left out, people's
labels of OpenAI's propositions, unseen pairs of XSTest. It takes minutes, so no notebook runs it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs import readings, sources
from rulekit.inputs.pairs import conversation, prompt_groups, split_pairs
from rulekit.inputs.sources import Labelled, by_response, joined_labels, load_labelled
from rulekit.judges.contract import Judge
from rulekit.measures import auc_resampled, bootstrap
from rulekit.studies.new_texts import direction_table, proposition_table

_RESAMPLES = 500


def real_judge_table(
    *, unseen: float = 0.2, left_out: int = 20, seed: int = 0, per_subset: int = 200
) -> pl.DataFrame:
    """An offline judge trained on the embedded corpus alone, beside one that learned readings, too.

    The judge of the kit learned all readings, so that it cannot be measured on them: these are made
    the same way from the readings of other prompts.

    Parameters
    ----------
    unseen
        Share of the prompts that no judge is trained on.
    left_out
        Rules, drawn by the seed, that the third judge has not seen.
    seed
        Of the split, the rules, training and intervals.
    per_subset
        Unseen pairs of either subset of XSTest that are labelled at most.

    Returns
    -------
    A row a figure and judge: ``figure``, ``judge`` (``without readings``, ``with readings``, ``with
    readings, fewer rules``), ``value``, ``low``, ``high`` (over prompts; over responses for the propositions),
    ``n``. ``unseen prompts`` and ``unseen rules``: AUC of satisfied against violated, on readings of
    prompts that no judge has seen, the latter under the rules left out; ``propositions``: mean AUC of
    the score on OpenAI's, train part; ``should-refuse`` and ``should-respond``: label accuracy of the
    sum of all rules on XSTest pairs of unseen prompts.
    """
    from rulekit.training import kit_encoder_judge, train_encoder_judge

    known_readings, tests, seen = [], [], set()
    for source in readings.READ:
        pairs = sources.load(source)
        rules, scores = sources.load_ratings(source)
        known, new = split_pairs(pairs, test=unseen, seed=seed)
        seen |= set(prompt_groups(known))
        known_readings.append(by_response(known, rules, scores))
        tests.append(by_response(new, rules, scores))
    test = joined_labels(*tests)
    own, validation = (load_labelled("embedded", s) for s in ("train", "validation"))
    out = np.sort(np.random.default_rng(seed).permutation(len(rules))[:left_out])
    kept = np.setdiff1d(np.arange(len(rules)), out)
    judges = {
        "without readings": train_encoder_judge(own, validation, seed=seed),
        "with readings": kit_encoder_judge(known_readings, seed),
        "with readings, fewer rules": kit_encoder_judge(known_readings, seed, kept),
    }
    rbr, xstest = load_labelled("openai-rbr"), sources.load("xstest")
    xstest = xstest.filter(~prompt_groups(xstest).is_in(list(seen)))
    rows = []
    for name, one in judges.items():
        for figure, data in (("unseen prompts", test), ("unseen rules", test.under(out))):
            rows.append({"figure": figure, "judge": name} | satisfied_area(one, data, seed))
        row = proposition_table(rbr, one, seed).row(-1, named=True)
        told = {end: row[f"judge_{end}"] for end in ("low", "high")}
        row = {"value": row["judge_auc"], **told, "n": row["n"]}
        rows.append({"figure": "propositions", "judge": name} | row)
        for row in direction_table(xstest, rules, one, per_subset, seed).iter_rows(named=True):
            figure = row["subset"].removeprefix("xstest-")
            kept_ = {key: row[key] for key in ("value", "low", "high", "n")}
            rows.append({"figure": figure, "judge": name} | kept_)
    return pl.DataFrame(rows, infer_schema_length=None).sort("figure", maintain_order=True)


def unseen_directions(table: pl.DataFrame, judge: str = "with readings") -> pl.DataFrame:
    """Whether labels go the right way on XSTest prompts that a judge has not read, for a chart.

    Parameters
    ----------
    table
        From `real_judge_table`.
    judge
        Whose rows.

    Returns
    -------
    A row a subset: ``subset``, ``value``, ``low``, ``high``, ``n``.
    """
    mine = table.filter(pl.col("figure").str.starts_with("should-"), pl.col("judge") == judge)
    return mine.select(
        pl.format("xstest-{}", "figure").alias("subset"), "value", "low", "high", "n"
    )


def satisfied_area(judge: Judge, data: Labelled, seed: int = 0) -> dict:
    """AUC of a judge's score, satisfied against violated, with its interval over prompts.

    Parameters
    ----------
    judge
        Of single responses.
    data
        Labelled responses; irrelevant ratings do not count.
    seed
        Of the bootstrap.

    Returns
    -------
    ``value``, ``low``, ``high`` and ``n`` ratings.
    """
    p = judge.rate(data.prompts, data.responses, data.rules).complete()
    told = data.scores != 0
    score = (p[..., 2] - p[..., 0])[told]
    prompts = np.repeat([conversation(x) for x in data.prompts], told.sum(axis=1))
    area = auc_resampled(score, data.scores[told] > 0)
    low, high = bootstrap(area, prompts.tolist(), resamples=_RESAMPLES, seed=seed)
    value = float(area(np.ones((1, len(score))))[0])
    return {"value": value, "low": float(low), "high": float(high), "n": len(score)}
