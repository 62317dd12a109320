"""What every selector tells and how often its label is right, by k: a world comes in, frames go out.

The theory lab shows them, a new frame with every move of a control. Selectors that have to know
about rules are told what `rulekit.estimate` makes of so many labelled pairs of the same world.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.special import expit, xlog1py, xlogy

from rulekit.inputs.scores import votes
from rulekit.selection.estimates import estimate
from rulekit.selection.registry import Selection, select, selectors
from rulekit.selection.rule_model import Estimates
from rulekit.studies.phrases import percent
from rulekit.theory import vote_information
from rulekit.theory.simulation import Simulation
from rulekit.theory.worlds import (
    ASSUMPTIONS,
    World,
    broken_assumptions,
    draw_world,
    factor_log_odds,
    world_moments,
)

KNOWN = "log_odds, known"
BY_K = ("max_discrepancy", "random", "frugal", "adaptive", KNOWN)
_NEED_RELEVANCE = ("relevance", "relevance_discrepancy")
_NEED_VOTES = ("cmim", "greedy_cmi", "jmi", "mrmr")  # of labelled pairs
_SUMMED = ("all", "lowest_discrepancy", "max_discrepancy", "random", "static")  # know no weights
_SEES_SIGNS = ("adaptive",)
_BEYOND = 2.0  # standard errors of a difference that counts
_SIGNS_SEEN = ("A4 broken: choice by size", "its choice looks at signs")


def selectors_that_compare() -> list[str]:
    """Names that `selectors_by_k` takes: those of `rulekit.selectors` without a relevance, and `KNOWN`."""
    return [*(n for n in selectors() if n not in (*_NEED_RELEVANCE, "all")), KNOWN]


def selectors_by_k(
    world: World,
    labelled: int = 100,
    methods: Sequence[str] = BY_K,
    *,
    n_pairs: int = 3000,
    n_reference: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """Information and label accuracy of each selector for every k.

    Parameters
    ----------
    world
        What rules are like.
    labelled
        Pairs with a known preference, of the reference, that estimates are made of; 0 or more.
    methods
        Names from `selectors_that_compare`. `KNOWN` is told the true means and covariance, as the
        yardstick; selectors of labelled votes are left out where there are no labels.
    n_pairs, n_reference
        Pairs that are labelled, and other pairs to estimate from.
    seed
        Of `draw_world`.

    Returns
    -------
    A row a selector and k: ``selector``, ``k``; ``information`` in bits with its standard error
    ``information_se``, and ``how`` it was come by; ``accuracy`` of the label with
    ``accuracy_se``; ``behind_bits`` and ``behind``, what both lack to the yardstick on the same
    pairs, with ``behind_bits_se`` and ``behind_se`` (null without `KNOWN` among the methods).

    The information is that of the chosen votes about Y, for one who knows the sizes and what
    rules are like: I(V_S; Y | T) of the theorem. ``how`` is ``exact`` but for the drawn sizes;
    ``at least`` where rules share noise, so that the sizes of rules that were not chosen tell
    something, too; ``of the label`` for a selector that looks at signs, whose choice is a message
    of its own: what its label tells. The label of selectors that know no weights is the sum of δ,
    that of the others ``weighted``.

    Raises
    ------
    ValueError
        For an unknown selector, or more labels than n_reference.
    """
    allowed = selectors_that_compare()
    if unknown := [m for m in methods if m not in allowed]:
        raise ValueError(f"methods: {', '.join(unknown)} unknown; allowed: {', '.join(allowed)}")
    if labelled not in range(n_reference + 1):
        raise ValueError(f"labelled is {labelled!r}; allowed: 0 to n_reference, {n_reference}")
    held_out = draw_world(world, n_pairs, seed)
    reference = draw_world(world, n_reference, seed, part=1)
    known = np.where(np.arange(n_reference) < labelled, reference.preference, 0)
    found = None
    if any(m not in (*_SUMMED, KNOWN, *_NEED_VOTES) for m in methods):
        found = estimate(reference.scores, known)
    true = Estimates(held_out.mu, held_out.cov, 0, "known")
    bits, hits = {}, {}
    for method in methods:
        if method in _NEED_VOTES and not labelled:
            continue
        believed = true if method == KNOWN else found
        if method in _NEED_VOTES:
            believed = found = found or estimate(reference.scores, known)
        chosen = _chosen(held_out, reference, method, known, believed, seed)
        hits[method] = _hits(held_out, chosen, None if method in _SUMMED else believed)
        if method not in _SEES_SIGNS:
            bits[method] = _bits(world, held_out, chosen, seed)
    parts = [_rows(method, bits, hits, world) for method in hits]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pl.DataFrame(columns).fill_nan(None)


def where_assumptions_break(frame: pl.DataFrame, world: World, seed: int = 0) -> pl.DataFrame:
    """Where a curve leaves what the theorem promises, and the assumption that does not hold there.

    Parameters
    ----------
    frame
        From `selectors_by_k`, with `KNOWN` and ``max_discrepancy`` among its selectors.
    world, seed
        Those of the frame.

    Returns
    -------
    A row a curve: ``selector``, ``measure`` (information or accuracy), ``k``, ``value`` there,
    ``lost``, what it lacks to the yardstick, ``name`` of the assumption and ``why``. Of
    ``max_discrepancy`` it is the k at which it lacks most, if that is more than two standard
    errors; a selector that looks at signs is named at its first k.
    """
    broken = broken_assumptions(world, seed)
    named = "; ".join(f"{a} broken: {ASSUMPTIONS[a]}" for a in broken)
    why = "; ".join(broken.values())
    rows = []
    for measure, behind in (("information", "behind_bits"), ("accuracy", "behind")):
        sides = frame.filter(pl.col("selector") == "max_discrepancy").drop_nulls(behind)
        if broken and len(sides):
            worst = sides.sort(behind, descending=True).row(0, named=True)
            if worst[behind] > _BEYOND * worst[f"{behind}_se"] and worst[behind] > 1e-6:
                rows.append(_mark(worst, measure, worst[behind], named, why))
        for method in _SEES_SIGNS:
            if len(part := frame.filter(pl.col("selector") == method)):
                rows.append(_mark(part.row(0, named=True), measure, None, *_SIGNS_SEEN))
    kinds = {"selector": pl.String, "measure": pl.String, "k": pl.Int64, "value": pl.Float64}
    kinds |= {"lost": pl.Float64, "name": pl.String, "why": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def assumptions_of(world: World, seed: int = 0) -> pl.DataFrame:
    """Whether the assumptions of the maximum-discrepancy theorem hold in a world.

    Parameters
    ----------
    world, seed
        As for `rulekit.theory.broken_assumptions`.

    Returns
    -------
    A row an assumption, A1 to A4: ``assumption`` with its name, ``holds``, and ``why``. A4 is
    that of who chooses by size, as max_discrepancy does.
    """
    broken = broken_assumptions(world, seed)
    why = {
        "A1": "the noise of each rule is its own",
        "A2": "which response stands first says nothing",
        "A3": "the louder a rule, the more often it is right, by one curve for all",
        "A4": f"for every curve but {', '.join(_SEES_SIGNS)}, which looks at signs",
    }
    rows = [
        {"assumption": f"{a}: {name}", "holds": a not in broken, "why": broken.get(a, why[a])}
        for a, name in ASSUMPTIONS.items()
    ]
    return pl.DataFrame(rows)


def world_title(world: World, seed: int = 0) -> str:
    """The finding in one line: that the theorem holds here, or what of it is broken."""
    broken = broken_assumptions(world, seed)
    if not broken:
        return "A1 to A4 hold: no other k votes, chosen by size, tell more than the largest |δ|"
    said = "; ".join(f"{name} broken ({words})" for name, words in broken.items())
    return f"The theorem does not apply: {said}"


def world_findings(frame: pl.DataFrame, breaks: pl.DataFrame, k: int) -> str:
    """What the curves say at one k, in sentences.

    Parameters
    ----------
    frame
        From `selectors_by_k`, with ``max_discrepancy`` among its selectors.
    breaks
        From `where_assumptions_break`.
    k
        Rules kept.
    """
    here = {r["selector"]: r for r in frame.filter(pl.col("k") == k).iter_rows(named=True)}
    loud, best = here["max_discrepancy"], max(here.values(), key=lambda r: r["accuracy"])
    said = [
        f"At k = {k} the largest |δ| tell {loud['information']:.3f} bits, and their sum is right on "
        f"{percent(loud['accuracy'])}."
    ]
    if best["selector"] != "max_discrepancy":
        error = float(np.hypot(best["accuracy_se"], loud["accuracy_se"]))
        told = best["accuracy"] - loud["accuracy"] > _BEYOND * error
        more = "." if told else ", which cannot be told apart from it."
        said.append(f"Most often right is {best['selector']}, {percent(best['accuracy'])}{more}")
    for row in breaks.filter(pl.col("selector") == "max_discrepancy").iter_rows(named=True):
        bits = row["measure"] == "information"
        lost = f"{row['lost']:.3f} bits" if bits else f"{100 * row['lost']:.1f} points"
        unit = "bits" if bits else "accuracy"
        said.append(
            f'In {unit} the largest |δ| lack most at k = {row["k"]}: {lost} to "{KNOWN}" '
            f"({row['name']})."
        )
    return " ".join(said)


def _mark(row: dict, measure: str, lost: float | None, name: str, why: str) -> tuple:
    return row["selector"], measure, row["k"], row[measure], lost, name, why


def _chosen(
    held_out: Simulation,
    reference: Simulation,
    method: str,
    known: np.ndarray,
    believed: Estimates | None,
    seed: int,
) -> Selection:
    """All rules of each pair in the order in which the selector takes them."""
    scores = held_out.scores
    name = "log_odds" if method == KNOWN else method
    needs = method in (*_NEED_VOTES, "frugal", "static")
    return select(
        scores,
        scores.n_rules,
        name,
        seed=seed,
        reference=reference.scores if needs else None,
        preference=known if needs and known.any() else None,
        estimates=believed if name not in _SUMMED else None,
    )


def _hits(held_out: Simulation, chosen: Selection, believed: Estimates | None) -> np.ndarray:
    """Whether the label of the first k rules is right, ½ for a tie, (n_pairs, k)."""
    order = chosen.indices.astype(np.int64)
    delta = held_out.scores.discrepancy
    if believed is None:
        margin, unit = np.take_along_axis(delta, order, axis=1).cumsum(axis=1), 1.0
    else:
        x = believed.transform(delta)
        if chosen.fixed:
            margin, unit = _fixed_margins(x, order[0], believed)
        else:
            weights = believed.weights()
            unit = np.abs(weights).max()
            margin = np.take_along_axis(x * weights, order, axis=1).cumsum(axis=1)
    label = votes(margin, unit * np.arange(1, order.shape[1] + 1))
    return (1 + label * held_out.preference[:, None]) / 2


def _fixed_margins(x: np.ndarray, order: np.ndarray, believed: Estimates):
    """Log-odds of the first k rules with the weights that suit these k, (n_pairs, k)."""
    weights = np.zeros((len(order), len(order)))  # a column a k, in the order of the rules
    for k in range(1, len(order) + 1):
        weights[:k, k - 1] = believed.weights(order[:k])
    return x[:, order] @ weights, np.abs(weights).max(axis=0)


def _bits(world: World, held_out: Simulation, chosen: Selection, seed: int) -> np.ndarray:
    """What the votes of the first k rules tell, pair by pair, in bits, (n_pairs, k)."""
    mu, spread, shared = world_moments(world, seed)
    scale = np.abs(held_out.mu).max() / np.abs(mu).max()
    delta = held_out.scores.discrepancy / scale
    odds = factor_log_odds(delta, mu, spread, shared, chosen.indices)
    if shared.any() and not chosen.fixed:
        return 1 - np.logaddexp(0, -odds * held_out.preference[:, None]) / np.log(2)
    q = expit(np.abs(odds))
    return 1 + (xlogy(q, q) + xlog1py(1 - q, -q)) / np.log(2)


def _rows(method: str, bits: dict, hits: dict, world: World) -> dict:
    m = hits[method].shape[1]
    accuracy, error = _mean(hits[method])
    if method in bits:
        information, information_se = _mean(bits[method])
        mixed = world.correlation > 0 and method not in ("frugal", "static", *_NEED_VOTES)
        how = "at least" if mixed else "exact"
    else:
        information = np.array([float(vote_information([p])) for p in accuracy])
        information_se, how = np.full(m, np.nan), "of the label"
    nothing = np.full(m, np.nan), np.full(m, np.nan)
    behind = _mean(hits[KNOWN] - hits[method]) if KNOWN in hits else nothing
    both = KNOWN in bits and method in bits
    behind_bits = _mean(bits[KNOWN] - bits[method]) if both else nothing
    return {
        "selector": [method] * m,
        "k": np.arange(1, m + 1),
        "how": [how] * m,
        "information": information,
        "information_se": information_se,
        "accuracy": accuracy,
        "accuracy_se": error,
        "behind_bits": behind_bits[0],
        "behind_bits_se": behind_bits[1],
        "behind": behind[0],
        "behind_se": behind[1],
    }


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over pairs and its standard error, (k,) each."""
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))
