"""What a judge is worth: measured on labelled responses, on people's labels, on another judge's votes.

Judges and labelled data come in, frames with intervals go out; notebook 16 shows them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.inputs.pairs import conversation, folds, prompt_groups, prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.inputs.sources import Labelled, second_rankings, second_reading
from rulekit.judges.contract import Judge
from rulekit.labels import label
from rulekit.measures import (
    auc,
    auc_resampled,
    bootstrap,
    calibration_error,
    cohen_kappa,
    judge_metrics,
    kappa_resampled,
    mean_interval,
    paired_difference,
    pairwise_accuracy,
)
from rulekit.selection.registry import select

_RESAMPLES = 200


def network_table(
    networks: Sequence[str],
    train: Labelled,
    validation: Labelled,
    seed: int = 0,
    rules_every: int = 1,
) -> pl.DataFrame:
    """Judge networks trained on the one set and compared on the other; first row the floor.

    Parameters
    ----------
    networks
        Names from `rulekit.judges.networks.NETWORKS`.
    train, validation
        Annotated responses under the same rules.
    seed
        Of training and of the intervals.
    rules_every
        Train and compare on every so manieth rule only: networks with a pass a rating are slow.

    Returns
    -------
    One row a network: ``log_loss`` in nats after calibration on the same validation set (four
    numbers a network), ``relevant_auc`` and ``satisfied_auc`` as `measures.judge_metrics` has them,
    each with a 95 % bootstrap interval over prompts (``…_low``, ``…_high``), and the seconds that
    training and that rating the validation responses took.

    Raises
    ------
    ValueError
        For an unknown network, or a `rules_every` below 1.
    """

    from rulekit.training.encoder_judge import train_encoder_judge

    if rules_every < 1:
        raise ValueError(f"rules_every is {rules_every}; allowed: 1 or more")
    train, validation = (_every(data, rules_every) for data in (train, validation))
    shown = [
        n + end
        for n in ("log_loss", "relevant_auc", "satisfied_auc")
        for end in ("", "_low", "_high")
    ]
    rows = []
    for network in networks:
        start = time.perf_counter()
        judge = train_encoder_judge(train, validation, network, seed)
        trained = time.perf_counter()
        found = judge_report(validation, judge, train, seed)
        rated = time.perf_counter()
        if not rows:
            floor = {n: found[f"floor_{n}"] for n in shown}
            rows.append({"network": "each rule's frequency"} | floor)
        rows.append(
            {"network": network}
            | {n: found[n] for n in shown}
            | {"training_seconds": trained - start, "rating_seconds": rated - trained}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _every(data: Labelled, step: int) -> Labelled:
    """The same responses under every `step`-th rule."""
    chosen = range(0, len(data.rules), step)
    rules = RuleSet(tuple(data.rules[j] for j in chosen))
    return Labelled(data.prompts, data.responses, rules, data.scores[:, ::step])


def distillation_report(
    pairs: pl.DataFrame,
    rules: RuleSet,
    scores: Scores,
    seed: int = 0,
    measured: pl.DataFrame | None = None,
) -> tuple[dict, pl.DataFrame]:
    """What a judge learns from half of another's ratings, measured on the other half of the prompts.

    Parameters
    ----------
    pairs, rules, scores
        n_pairs pairs and the other judge's scores of them under n_rules rules.
    seed
        Of the halves, of training and of the intervals.
    measured
        The pairs of the other half that count, such as those that the kit's judge has not read;
        by default all of it.

    Returns
    -------
    Figures, each with its interval: agreement of `judge_agreement` for the distilled judge and for
    the one that has not seen these ratings; label accuracy (sum of all rules) of teacher, distilled
    and undistilled judge against the known preference, and the paired difference of distilled and
    teacher. Then the rows of `judge_agreement`, by rule, with ``judge`` distilled or undistilled.
    """
    from rulekit.judges import EncoderJudge, score
    from rulekit.training.encoder_judge import distil_encoder_judge

    scores = scores.of(pairs)
    unseen = np.array(folds(pairs, 2, seed)) == 0
    seen, seen_pairs = scores.rows(~unseen), pairs.filter(pl.Series(~unseen))
    if measured is not None:
        unseen &= pairs["pair_id"].is_in(measured["pair_id"].implode()).to_numpy()
    own, teacher = pairs.filter(pl.Series(unseen)), scores.rows(unseen)
    start = time.perf_counter()
    judge = distil_encoder_judge(seen_pairs, rules, seen, seed=seed)
    seconds = time.perf_counter() - start
    rated = {
        "teacher": teacher,
        "distilled": score(own, rules, judge),
        "undistilled": score(own, rules, EncoderJudge.load()),
    }
    groups, known = prompt_groups(own).to_list(), own["preference"].to_numpy()
    margin = {n: label(s, select(s, method="all")).margin for n, s in rated.items()}
    figures = {"n_pairs_seen": len(seen_pairs), "n_pairs_unseen": len(own), "seconds": seconds}
    for name, found in margin.items():
        figures[f"{name}_accuracy"] = pairwise_accuracy(found, known, groups).as_dict()
    figures["distilled_less_teacher"] = paired_difference(
        margin["distilled"], margin["teacher"], known, groups
    ).as_dict()
    tables = []
    for name in ("distilled", "undistilled"):
        table = judge_agreement(rated[name], teacher, groups, seed)
        figures[f"{name}_agreement"] = table.row(-1, named=True)
        tables.append(table.select(pl.lit(name).alias("judge"), pl.all()))
    return figures, pl.concat(tables)


def cost_ratio(pairs: pl.DataFrame, rules: RuleSet, parameters: float = 8e9) -> dict[str, float]:
    """Multiplications of a language-model judge over those of the encoder judge, on these pairs.

    The language model reads prompt, both responses and one rule in each pass, one pass a rule; the
    encoder reads each prompt, and each response twice (whole and by sentences), whatever the number
    of rules. A pass costs one multiplication a parameter and token; tokens are the encoder's.

    Parameters
    ----------
    pairs, rules
        What is rated.
    parameters
        Of the language model. Those of a hosted one are not known: 8e9 is a small one.

    Returns
    -------
    ``judge_tokens`` and ``encoder_tokens`` that are read, and ``ratio`` of multiplications.
    """
    encoder = Encoder.load()

    def tokens(texts: Sequence[str]) -> int:
        ids = encoder.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return sum(map(len, ids))

    prompt = tokens([prompt_text(p) for p in pairs["prompt"].to_list()])
    responses = tokens(pairs["response_a"].to_list()) + tokens(pairs["response_b"].to_list())
    judge = len(rules) * (prompt + responses) + len(pairs) * tokens(rules.texts)
    embeddings = encoder.model.embeddings.word_embeddings.weight.numel()
    own = sum(p.numel() for p in encoder.model.parameters()) - embeddings
    ours = own * (prompt + 2 * responses)
    return {
        "judge_tokens": judge,
        "encoder_tokens": prompt + 2 * responses,
        "ratio": parameters * judge / ours,
    }


def judge_report(data: Labelled, judge: Judge, train: Labelled, seed: int = 0) -> dict:
    """A judge against annotations it has not seen, beside each rule's own frequencies.

    Parameters
    ----------
    data
        What it is measured on.
    judge
        Of single responses.
    train
        What the floor's frequencies are counted on.
    seed
        Of the intervals.

    Returns
    -------
    The figures of `measures.judge_metrics`, each with a 95 % bootstrap interval over prompts under
    the same name with `_low` and `_high`, and the calibration errors of P(relevant) and, where a
    rule is relevant, of P(satisfied).
    """
    p = judge.rate(data.prompts, data.responses, data.rules).complete()
    counts = np.stack([(train.scores == v).sum(axis=0) for v in (-1, 0, 1)], axis=1) + 0.5
    prior = counts / counts.sum(axis=1, keepdims=True)
    prompts = [conversation(prompt) for prompt in data.prompts]
    figures = judge_metrics(p, data.scores, prior, prompts, seed=seed)
    for name, (probability, outcome) in judge_outcomes(p, data.scores).items():
        figures[f"{name}_calibration_error"] = calibration_error(probability, outcome)
    return figures | {
        "n_responses": len(data.prompts),
        "n_prompts": len(set(prompts)),
        "n_rules": len(data.rules),
    }


def judge_areas(report: Mapping) -> pl.DataFrame:
    """How well a judge answers the two questions of a rating, for a chart, beside its floor.

    Parameters
    ----------
    report
        From `judge_report`.

    Returns
    -------
    Four rows: ``name``; ``value``, an area under the curve, with its interval ``low``, ``high``.
    """
    asked = {"relevant": "does the rule apply?", "satisfied": "is it kept?"}
    sides = {"": "the judge", "floor_": "floor: each rule's frequency"}
    rows = []
    for kind, start in product(asked, sides):
        key = f"{start}{kind}_auc"
        ends = {"low": report[f"{key}_low"], "high": report[f"{key}_high"]}
        rows.append({"name": f"{asked[kind]} {sides[start]}", "value": report[key], **ends})
    return pl.DataFrame(rows)


def judge_outcomes(p: np.ndarray, scores: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predicted probability and outcome: is a rule relevant, and where it is, satisfied.

    Parameters
    ----------
    p
        P(no), P(irrelevant), P(yes), (n_responses, n_rules, 3).
    scores
        -1, 0, +1, (n_responses, n_rules).

    Returns
    -------
    ``relevant`` over all ratings and ``satisfied`` over the relevant ones, each (n,) and (n,).
    """
    relevant = scores != 0
    yes = p[..., 2] / (p[..., 2] + p[..., 0])
    return {
        "relevant": (1 - p[..., 1].ravel(), relevant.ravel()),
        "satisfied": (yes[relevant], scores[relevant] > 0),
    }


def reader_agreement(seed: int = 0, resamples: int = 500) -> pl.DataFrame:
    """Cohen's κ of the corpus' two readers by category of rules, and over all of them.

    Satisfied, irrelevant and violated are three categories; a case is a response under a rule.
    `sign_agreement` is the share of equal signs where both found the rule relevant. Intervals are
    a bootstrap over prompts.
    """
    names, first, second, rules = second_reading()
    prompts = np.array([name.rsplit(":", 1)[0] for name in names])
    category = np.array(rules.categories)
    rows = []
    for name in [*dict.fromkeys(rules.categories), "all"]:
        j = np.flatnonzero((category == name) | (name == "all"))
        a, b = first[:, j], second[:, j]
        low, high = bootstrap(
            kappa_resampled(a.ravel(), b.ravel()),
            np.repeat(prompts, len(j)),
            resamples=resamples,
            seed=seed,
        )
        both = (a != 0) & (b != 0)
        rows.append(
            {
                "category": name,
                "kappa": cohen_kappa(a, b),
                "low": low,
                "high": high,
                "sign_agreement": (a == b)[both].mean(),
                "n_relevant_to_both": int(both.sum()),
                "n": a.size,
            }
        )
    return pl.DataFrame(rows)


def ranking_agreement(seed: int = 0) -> dict[str, float | int]:
    """How far the corpus' two readers put the responses of a prompt in the same order.

    Returns
    -------
    ``same_order``, the share of pairs of responses in the same order; ``tau``, Kendall's, the share
    less that of the opposite order, with its 95 % bootstrap interval over prompts ``low`` and
    ``high``; ``n`` pairs of ``n_prompts`` prompts.
    """
    same = []
    for first, second in second_rankings():
        place = {r: i for i, r in enumerate(second)}
        same.append([place[x] < place[y] for x, y in combinations(first, 2)])
    same = np.array(same)  # (n_prompts, 6)
    tau = 2 * same.mean(axis=1) - 1
    low, high = mean_interval(tau, bounds=(-1, 1))
    return {
        "same_order": float(same.mean()),
        "tau": float(tau.mean()),
        "low": low,
        "high": high,
        "n": same.size,
        "n_prompts": len(same),
    }


def judge_agreement(
    scores: Scores, reference: Scores, groups: Sequence | None = None, seed: int = 0
) -> pl.DataFrame:
    """How well one judge's δ agrees with another's sign where the other is decisive (|δ| > ½).

    Parameters
    ----------
    scores, reference
        The judge's and the other's scores of the same pairs, (n_pairs, n_rules).
    groups
        The prompt of each pair, (n_pairs,), that belong together; by default each pair by itself.
    seed
        Of the intervals.

    Returns
    -------
    One row a rule that has at least five decisive pairs of each sign, and a last row over all
    decisive ratings: ``rule``, ``auc``, its 95 % bootstrap interval over groups ``low``, ``high``,
    and ``n`` decisive ratings. Ratings of one pair under several rules are not independent; the
    bootstrap keeps them together.
    """
    reference = reference.aligned(scores.identity, "reference")
    delta, truth = scores.discrepancy, reference.discrepancy
    decisive = np.abs(truth) > 0.5
    ids = reference.names
    groups = np.arange(len(delta)) if groups is None else np.asarray(groups)
    rows = []
    for name, j in [*zip(ids, range(len(ids)), strict=True), ("all", slice(None))]:
        mine, up = decisive[:, j], truth[:, j] > 0
        n_up, n_down = int((mine & up).sum()), int((mine & ~up).sum())
        if min(n_up, n_down) >= 5:
            score, sign, pair = delta[:, j][mine], up[mine], np.nonzero(mine)[0]
            area = auc_resampled(score, sign)
            low, high = bootstrap(
                lambda weights, area=area, pair=pair: area(weights[:, pair]),
                groups,
                resamples=_RESAMPLES,
                seed=seed,
            )
            rows.append(
                {
                    "rule": name,
                    "auc": auc(score, sign)[0],
                    "low": float(low),
                    "high": float(high),
                    "n": n_up + n_down,
                }
            )
    return pl.DataFrame(rows)
