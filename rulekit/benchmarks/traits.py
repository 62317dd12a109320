"""What else does a score depend on? Scored items come in, accuracies with and against a trait go out.

Length, formatting, refusal, style and position; the margin as a probability; refusal's two sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.special import expit

from rulekit.benchmarks.evaluation import Evaluation
from rulekit.measures import calibration, calibration_error, mean_accuracy

_REFUSES = re.compile(
    r"^\W*(i('m| am) (really |very |so )?(sorry|unable|not able)|sorry|i (can('|no)?t|cannot|won't|will "
    r"not|must decline|have to decline)|i('m| am) just an ai|as an ai|i apologi[sz]e|unfortunately, i "
    r"can|it is not (appropriate|ethical))",
    re.IGNORECASE,
)
_MARKS = re.compile(r"^\s*(#{1,6} |[-*+] |\d+[.)] |```|\|)|\*\*[^*\n]+\*\*", re.MULTILINE)
TRAITS: dict[str, Callable[[str], float]] = {
    "length": lambda text: len(text.split()),
    "formatting": lambda text: len(_MARKS.findall(text)),
    "refusal": lambda text: float(refuses(text)),
}
_ROW = {
    "trait": pl.String,
    "prefers": pl.Float64,
    "prefers_low": pl.Float64,
    "prefers_high": pl.Float64,
    "right_has_more": pl.Float64,
    "accuracy_with": pl.Float64,
    "accuracy_against": pl.Float64,
    "n": pl.Int64,
}


def refuses(text: str) -> bool:
    """Whether a response begins as refusals do; a rough sign, in English.

    Parameters
    ----------
    text
        The response.
    """
    return bool(_REFUSES.match(text.replace("\u2019", "'")))


def biases(result: Evaluation) -> pl.DataFrame:
    """How often the response with more of a trait is preferred, and what that costs.

    Parameters
    ----------
    result
        Of any benchmark.

    Returns
    -------
    One row a trait. ``length`` (words), ``formatting`` (headings, lists, bold, tables, code) and
    ``refusal``: over pairs of a right and a wrong response that differ in it, `prefers` is how often
    the one with more of it has the larger score (a tie counts one half) with its 95 % interval,
    `right_has_more` how often it is the right one, `accuracy_with` and `accuracy_against` how often
    the model is right where the trait speaks for the right response and where it speaks against it.
    RM-Bench adds ``style``: richer against plainer. A judge that compares adds, without the other
    columns, ``position``: `prefers` is how often it takes the response that is shown first, ½ where
    place does not matter; and ``order``: how often its two orders do not agree.
    """
    pairs = _pairs(result)
    rows = [_trait(name, pairs, trait) for name, trait in TRAITS.items()]
    if result.card.benchmark == "rm-bench":
        rows.append(_of("style", pairs, pairs["style"].to_numpy()))
    if "first" in result.items.columns:
        rows += _position(result.items)
    return pl.DataFrame([r for r in rows if r], schema=_ROW)


def margin_calibration(result: Evaluation, bins: int = 10) -> tuple[pl.DataFrame, dict]:
    """How far a margin tells how sure the model may be.

    Parameters
    ----------
    result
        Of any benchmark.
    bins
        Of about equal count.

    Returns
    -------
    As of `rulekit.measures.calibration`, of σ(β |margin|) against whether the preferred response of
    a pair is the right one, with the mean absolute `margin` of each bin; and ``beta``, by maximum
    likelihood, ``error`` and ``error_plain``, the calibration errors with it and with β = 1, as
    trained by the Bradley-Terry loss.
    """
    pairs = _pairs(result)
    margin, groups = pairs["margin"].to_numpy(), pairs["group"].to_list()
    right = (np.sign(margin) + 1) / 2
    beta = _slope(margin)
    sure = expit(beta * np.abs(margin))
    table = calibration(sure, right, bins, groups)
    at = np.log(table["predicted"]) - np.log1p(-table["predicted"])
    table = table.with_columns(margin=at / beta if beta > 0 else pl.lit(None))
    plain = expit(np.abs(margin))
    errors = {
        "beta": beta,
        "error": calibration_error(sure, right, bins),
        "error_plain": calibration_error(plain, right, bins),
    }
    return table, errors


def refusal_balance(*results: Evaluation) -> pl.DataFrame:
    """Safety beside over-refusal: how often each model refuses what it should, and answers what it should.

    Parameters
    ----------
    results
        Of XSTest or RewardBench, the model first and its base second.

    Returns
    -------
    Columns model (``model``, ``base``, further ones numbered), side (``should refuse``, ``should
    respond``), value, low, high, n.
    """
    rows = []
    for i, result in enumerate(results):
        name = ("model", "base")[i] if i < 2 else f"model {i}"
        for subset in ("xstest-should-refuse", "xstest-should-respond"):
            part = result.card.subsets.filter(pl.col("subset") == subset)
            for row in part.select("value", "low", "high", "n").iter_rows(named=True):
                side = subset.removeprefix("xstest-").replace("-", " ")
                rows.append({"model": name, "side": side} | row)
    return pl.DataFrame(rows)


def _pairs(result: Evaluation) -> pl.DataFrame:
    """One row a right and a wrong response of an item."""
    rows = []
    columns = ("group", "responses", "scores", "n_right")
    for group, responses, scores, n in result.items.select(columns).iter_rows():
        for i in range(n):
            for j in range(n, len(responses)):
                style = i - (j - n)  # of RM-Bench: above 0 where the right one is the richer
                rows.append((group, responses[i], responses[j], scores[i] - scores[j], style))
    schema = ("group", "right", "wrong", "margin", "style")
    return pl.DataFrame(rows, schema=schema, orient="row")


def _trait(name: str, pairs: pl.DataFrame, trait: Callable[[str], float]) -> dict | None:
    right, wrong = ([trait(text) for text in pairs[side].to_list()] for side in ("right", "wrong"))
    return _of(name, pairs, np.array(right) - np.array(wrong))


def _of(name: str, pairs: pl.DataFrame, gap: np.ndarray) -> dict | None:
    differ = gap != 0
    if not differ.any():
        return None
    part, more = pairs.filter(pl.Series(differ)), gap[differ] > 0
    won = (np.sign(part["margin"].to_numpy()) + 1) / 2
    found = mean_accuracy(np.where(more, won, 1 - won), part["group"].to_list())
    with_, against = (float(won[m].mean()) if m.any() else None for m in (more, ~more))
    ends = (found.value, found.low, found.high)
    values = (name, *ends, float(more.mean()), with_, against, len(part))
    return dict(zip(_ROW, values, strict=True))


def _position(items: pl.DataFrame) -> list[dict]:
    asked = items.select("group", "first").explode("first").drop_nulls()
    if not len(asked):
        return []
    first, groups = asked["first"].to_numpy(), asked["group"].to_list()
    rows = []
    for name, values in (("position", first), ("order", (first != 0.5).astype(float))):
        found = mean_accuracy(values, groups)
        ends = (found.value, found.low, found.high)
        rows.append(dict(zip(_ROW, (name, *ends, None, None, None, len(asked)), strict=True)))
    return rows


def _slope(margin: np.ndarray) -> float:
    """β of P(right) = σ(β margin), by maximum likelihood; 0 where margins say nothing."""
    from scipy.optimize import minimize_scalar

    size = float(np.abs(margin).mean())
    if size == 0:
        return 0.0
    found = minimize_scalar(
        lambda b: np.logaddexp(0, -b * margin / size).mean(), bounds=(0, 50), method="bounded"
    )
    return float(found.x / size)
