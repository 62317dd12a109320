"""Which rules to trust: scores of pairs and a few preferences (or none) come in, μ and Σ go out.

`estimate` and the registry of its methods: `label_free` has those that rest on the agreement
between rules alone, `labelled` those that need preferences, `rule_model` what goes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from rulekit.inputs.scores import Scores
from rulekit.selection import label_free, labelled
from rulekit.selection.preferences import known_preference
from rulekit.selection.rule_model import NO_VOTE, Estimates, Reference
from rulekit.selection.serial import serial_blas

_POWERS = (1.0, 0.5)  # of |δ| that labelled pairs choose between
_TINY, _MOST = 0.01, 1 / 3  # where more than this share of |δ| is tiny, it is not magnified


def estimate(
    reference: Scores,
    preference: np.ndarray | pl.DataFrame | None = None,
    method: str = "auto",
    *,
    power: float | None = None,
) -> Estimates:
    """Estimate mean and covariance of the rules' discrepancies, with or without preferences.

    Parameters
    ----------
    reference
        Scores of n_pairs pairs, labelled and not: the more unlabelled pairs, the better Σ.
    preference
        +1, -1, and 0 or null where it is not known, (n_pairs,); or the canonical frame of the
        pairs, whose column `preference` is found by id; None: none is known.
    method
        One of `estimators()`. ``auto`` without labels is ``mixture``, or ``principal`` where the
        mixture is refuted; with labels it is ``bradley_terry``.
    power
        Of |δ|, in (0, 1]; default 1, and with labels the one of 1 and ½ that ``bradley_terry``
        finds more likely. Where more than a third of the votes have |δ| < 0.01, only 1 is tried: a
        root magnifies them, and what so small a leaning tells may be which response stood first
        (`rulekit.studies.position_audit`).

    Returns
    -------
    Estimates. Rules are taken to be right in sum more often than wrong, unless labels make the
    contrary more probable.

    Raises
    ------
    ValueError
        For an unknown method, a preference of another shape or with other values, labels missing
        where the method needs them, no rule that ever votes, or fewer than the three rules that
        ``triplet`` and ``dawid_skene`` need.

    Notes
    -----
    `notebooks/METHODS.md` has the formula of every method, what it needs, and its references. Given
    μ, every method takes Σ = E[xx'] - μμ', the second moment shrunk.
    """
    if method != "auto" and method not in _ESTIMATORS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(estimators())}")
    y = known_preference(preference, reference.whole("reference"))
    if reference.n_pairs < 2:
        raise ValueError(f"reference has {reference.n_pairs} pairs; allowed: 2 or more")
    if power is not None and not 0 < power <= 1:
        raise ValueError(f"power is {power}; allowed: above 0, at most 1, or None")
    n_labelled = int((y != 0).sum())
    if method in _NEED_LABELS and not n_labelled:
        raise ValueError(f"method {method!r} needs pairs with a known preference")
    if method == "auto" and n_labelled:
        method = "bradley_terry"
    with serial_blas(reference.a.size):
        if method == "bradley_terry":
            found = _most_likely(reference, y, powers_of(reference) if power is None else (power,))
        else:
            found = _found(Reference.of(reference, power or 1.0), y, method)
    return replace(found, n_labelled=n_labelled, identity=reference.identity.rules)


def estimators() -> list[str]:
    """The names that `estimate` takes as its method."""
    return sorted([*_ESTIMATORS, "auto"])


def _found(standard: Reference, y: np.ndarray, method: str) -> Estimates:
    """What one method finds; `auto` without labels."""
    if method == "auto":
        return standard.estimates(*label_free.label_free_mean(standard))
    return standard.estimates(_ESTIMATORS[method](standard, y), method)


def powers_of(scores: Scores) -> tuple[float, ...]:
    """The powers to choose between: no root where many leanings are tiny."""
    size = np.abs(scores.discrepancy)
    votes = np.count_nonzero(size > NO_VOTE)
    tiny = np.count_nonzero((size > NO_VOTE) & (size < _TINY))
    return _POWERS[:1] if tiny > _MOST * votes else _POWERS


def _most_likely(scores: Scores, y: np.ndarray, powers: tuple[float, ...]) -> Estimates:
    """What `bradley_terry` finds under the power that makes the labels most likely."""
    best = None
    for power in powers:
        standard = Reference.of(scores, power)
        mu, evidence = labelled.bradley_terry(standard, y)
        if best is None or evidence > best[1]:
            best = standard.estimates(mu, "bradley_terry"), evidence
    return best[0]


_ESTIMATORS: dict[str, Callable[[Reference, np.ndarray], np.ndarray]] = {
    "bradley_terry": lambda standard, y: labelled.bradley_terry(standard, y)[0],
    "dawid_skene": label_free.dawid_skene,
    "mixture": label_free.mixture,
    "moments": labelled.moments,
    "principal": label_free.principal,
    "triplet": label_free.triplet,
}
_NEED_LABELS = ("bradley_terry", "moments")
