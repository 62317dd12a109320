"""An offline judge that learns from readings of real responses, measured on what it has not seen.

Readings come in, a frame of figures goes out: unseen prompts, rules that were left out, people's
labels of OpenAI's propositions, unseen pairs of XSTest. It takes minutes, so no notebook runs it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs import readings, sources
from rulekit.inputs.pairs import conversation, prompt_groups, split_pairs
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.inputs.sources import Labelled, load_labelled
from rulekit.judges import judge as make_judge
from rulekit.judges.contract import Judge
from rulekit.measures import auc_resampled, bootstrap
from rulekit.studies.new_texts import direction_table, proposition_table

_RESAMPLES = 500


def readings_labelled(pairs: pl.DataFrame, scores: Scores) -> Labelled:
    """Readings of pairs as labelled responses, what a judge is trained and measured on.

    Parameters
    ----------
    pairs, scores
        Pairs that were read, and their scores under the kit's 100 rules.

    Returns
    -------
    Each response once: +1 where its grade is above 0, -1 below, 0 irrelevant.
    """
    scores, rules = scores.of(pairs), RuleSet.load("hh-read")
    found: dict[tuple, tuple] = {}
    for i, (prompt, *sides) in enumerate(
        pairs.select("prompt", "response_a", "response_b").iter_rows()
    ):
        for response, values in zip(sides, (scores.a, scores.b), strict=True):
            found.setdefault((conversation(prompt), response), (prompt, np.sign(values[i])))
    prompts = [prompt for prompt, _ in found.values()]
    labels = np.stack([values for _, values in found.values()]).astype(np.float32)
    return Labelled(prompts, [response for _, response in found], rules, labels)


def joined_labels(*parts: Labelled) -> Labelled:
    """Labelled responses of several data sets under the same rules, as one.

    Raises
    ------
    ValueError
        If the rules differ.
    """
    if any(p.rules.digests != parts[0].rules.digests for p in parts):
        raise ValueError("labelled responses under other rules; allowed: the same in all parts")
    return Labelled(
        [x for p in parts for x in p.prompts],
        [x for p in parts for x in p.responses],
        parts[0].rules,
        np.concatenate([p.scores for p in parts]),
    )


def real_judge_table(
    *, unseen: float = 0.2, left_out: int = 20, seed: int = 0, per_subset: int = 200
) -> pl.DataFrame:
    """The kit's offline judge beside one trained on readings of real responses, too.

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
    A row a figure and judge: ``figure``, ``judge`` (``the kit's``, ``with readings``, ``with readings,
    fewer rules``), ``value``, ``low``, ``high`` (over prompts; over responses for the propositions),
    ``n``. ``unseen prompts`` and ``unseen rules``: AUC of satisfied against violated, on readings of
    prompts that no judge has seen, the latter under the rules left out; ``propositions``: mean AUC of
    the score on OpenAI's, train part; ``should-refuse`` and ``should-respond``: label accuracy of the
    sum of all rules on XSTest pairs of unseen prompts.
    """
    from rulekit.training import train_encoder_judge

    train, tests, seen = [load_labelled("embedded", "train")], [], set()
    for source in readings.READ:
        pairs = sources.load(source)
        scores = sources.load_ratings(source)[1].of(pairs)
        known, new = split_pairs(pairs, test=unseen, seed=seed)
        seen |= set(prompt_groups(known))
        train.append(readings_labelled(known, scores.of(known)))
        tests.append(readings_labelled(new, scores.of(new)))
    train, test = joined_labels(*train), joined_labels(*tests)
    validation = load_labelled("embedded", "validation")
    out = np.sort(np.random.default_rng(seed).permutation(len(train.rules))[:left_out])
    kept = np.setdiff1d(np.arange(len(train.rules)), out)
    judges = {
        "the kit's": make_judge("encoder"),
        "with readings": train_encoder_judge(train, validation, seed=seed),
        "with readings, fewer rules": train_encoder_judge(
            _columns(train, kept), _columns(validation, kept), seed=seed
        ),
    }
    rbr, xstest = load_labelled("openai-rbr"), sources.load("xstest")
    xstest = xstest.filter(~prompt_groups(xstest).is_in(list(seen)))
    rows = []
    for name, one in judges.items():
        for figure, data in (("unseen prompts", test), ("unseen rules", _columns(test, out))):
            rows.append({"figure": figure, "judge": name} | satisfied_area(one, data, seed))
        row = proposition_table(rbr, one, seed).row(-1, named=True)
        told = {end: row[f"judge_{end}"] for end in ("low", "high")}
        row = {"value": row["judge_auc"], **told, "n": row["n"]}
        rows.append({"figure": "propositions", "judge": name} | row)
        for row in direction_table(xstest, train.rules, one, per_subset, seed).iter_rows(
            named=True
        ):
            figure = row["subset"].removeprefix("xstest-")
            kept_ = {key: row[key] for key in ("value", "low", "high", "n")}
            rows.append({"figure": figure, "judge": name} | kept_)
    return pl.DataFrame(rows, infer_schema_length=None).sort("figure", maintain_order=True)


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


def _columns(data: Labelled, columns: np.ndarray) -> Labelled:
    rules = RuleSet(tuple(data.rules.rules[j] for j in columns))
    return Labelled(data.prompts, data.responses, rules, data.scores[:, columns])
