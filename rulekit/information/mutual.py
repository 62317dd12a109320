"""Entropy and mutual information of any variables: which estimator, and what it takes.

Values come in, are checked, and go to the estimators of `counts` or `neighbours`; estimates in bits
or nats come out, never clipped.
"""

from __future__ import annotations

import numpy as np

from rulekit.information import checks, counts, neighbours

CONTINUOUS = ("mixed", "ross", "ksg")
_THINNINGS = 32
_LEAST_IN_CELLS = 10  # observations a cell, on average, for a table of two categories
_LEAST_ROWS = 10  # that weights must leave of a sample


def mutual_information(
    x,
    y,
    estimator: str = "auto",
    unit: str = "bits",
    weights=None,
    k: int = 3,
    discrete: tuple[bool, bool] | None = None,
) -> float:
    """Mutual information of two variables from n joint observations.

    Parameters
    ----------
    x, y
        Values, (n,). What is missing (NaN, None, NaT, masked) is refused: 'not rated' is no value.
    estimator
        Of two categories: ``plugin``, ``miller_madow`` or ``shrinkage``; see
        `rulekit.information.counts.information_of`. Of quantities, by nearest neighbours:
        ``ross`` (x a quantity, y categories or the reverse), ``ksg`` (both quantities), both
        without ties, and ``mixed`` for either, right with ties, on grids and with atoms, and
        less biased than ``ross``. ``auto``: ``miller_madow`` for two categories, else ``mixed``;
        and ``mixed`` too where their table would have fewer than ten observations a cell, numbers
        of more than 5 values then being quantities.
    unit
        ``bits`` or ``nats``.
    weights
        Non-negative, (n,): the estimate is of the law in which a row counts by its weight.
    k
        Neighbours, 1 or more, for quantities.
    discrete
        Whether x and y are categories. Default: what is no number is; numbers are where they have
        no fraction and repeat, with at most √n distinct values, or 5. So votes, classes and
        ratings in few steps are categories, a count or a position is a quantity. A constant is a
        category of its own.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        For lengths that differ, missing values, an unknown estimator or unit, ties where they
        have no meaning, or weights that leave fewer than ten rows to look for neighbours in.

    Notes
    -----
    Weighted tables hold sums of weights; Kish's effective number of observations, (Σw)² / Σw²,
    takes the place of n in the corrections. Weighted estimates by neighbours are the mean over 32
    thinnings, each of which keeps a row with chance w / max w: the kept rows are a sample of the
    weighted law without repetitions, which neighbours could not bear. So the bias is that of
    n · mean(w) / max(w) rows; equal weights keep every row and change nothing. Thinnings, and what
    breaks ties between two quantities, are from fixed seeds: equal arrays give equal estimates.
    The order of rows changes nothing but, with weights, which of them a thinning keeps.

    References
    ----------
    At the estimators: `rulekit.information.counts.information_of`,
    `rulekit.information.neighbours.class_information` and `pair_information`.
    """
    x = checks.checked("x", x)
    y = checks.checked("y", y, len(x))
    weights = checks.checked_weights(weights, len(x))
    return checked_information(x, y, estimator, unit, weights, k, discrete)


def entropy(x, estimator: str = "auto", unit: str = "bits", weights=None) -> float:
    """Entropy of a discrete variable from n observations.

    Parameters
    ----------
    x
        Discrete values, (n,).
    estimator
        ``plugin``, ``miller_madow`` (adds (K - 1) / 2n, K the values that occur) or
        ``shrinkage``; ``auto`` is ``miller_madow``.
    unit, weights
        As for `mutual_information`.

    Returns
    -------
    The estimate, ≥ 0 in the unit.

    Raises
    ------
    ValueError
        For missing values, an unknown estimator or unit, or weights that are negative or all zero.

    References
    ----------
    G. Miller, "Note on the bias of information estimates" (1955). J. Hausser and K. Strimmer,
    "Entropy inference and the James-Stein estimator", JMLR 10 (2009).
    """
    x = checks.checked("x", x)
    table, _ = counts.counted([checks.codes(x)], checks.checked_weights(weights, len(x)))
    return float(counts.entropy_of(table[None], estimator, unit)[0])


def conditional_information(
    x,
    y,
    given,
    estimator: str = "auto",
    unit: str = "bits",
    weights=None,
    k: int = 3,
    discrete: tuple[bool, bool] | None = None,
) -> float:
    """I(x; y | given), `given` discrete, from n joint observations.

    Parameters
    ----------
    x, y, given
        Values, (n,).
    estimator, unit, weights, k, discrete
        As for `mutual_information`. An estimate by neighbours is averaged over the values of
        `given`, each with its share of the observations or of their weights.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        As for `mutual_information`; for a continuous `given`; and, naming the value of `given`,
        where its rows do not allow the estimate, such as a single row.

    Notes
    -----
    From counts, I(X; Y | Z) = H(X, Z) + H(Y, Z) - H(X, Y, Z) - H(Z), each with its correction.

    References
    ----------
    T. Cover and J. Thomas, "Elements of Information Theory" (2006), section 2.5; of the
    estimators, as for `mutual_information`.
    """
    x = checks.checked("x", x)
    y, given = checks.checked("y", y, len(x)), checks.checked("given", given, len(x))
    weights = checks.checked_weights(weights, len(x))
    if not checks.is_whole(given):
        raise ValueError("given is continuous; allowed: discrete values")
    estimator, discrete = settled(x, y, estimator, discrete)
    if estimator in counts.DISCRETE:
        columns = [checks.codes(x), checks.codes(y), checks.codes(given)]
        table, _ = counts.counted(columns, weights)
        return float(counts.information_of(table[None], estimator, unit)[0])
    mass = np.ones(len(x)) if weights is None else weights
    total = 0.0
    for value in np.unique(given[mass > 0]):
        rows = given == value
        part = None if weights is None else weights[rows]
        try:
            found = checked_information(x[rows], y[rows], estimator, unit, part, k, discrete)
        except ValueError as error:
            raise ValueError(f"where given is {value}: {error}") from error
        total += mass[rows].sum() / mass.sum() * found
    return float(total)


def joint_information(votes, y, estimator: str = "auto", unit: str = "bits", weights=None) -> float:
    """I(v_S; y): what the votes of a set of rules, taken together, tell about y.

    Parameters
    ----------
    votes
        Discrete values of the rules of S, (n_pairs, |S|), 1 ≤ |S|.
    y
        Discrete values, (n_pairs,).
    estimator, unit, weights
        As for `mutual_information`; discrete estimators only.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        As for `mutual_information`, naming the rule.

    Notes
    -----
    A set of k rules has up to 3^k vote patterns: where they are not few beside n_pairs, every
    estimate from counts is biased upwards, the plug-in most.

    References
    ----------
    As for `rulekit.information.counts.information_of`.
    """
    votes = np.asanyarray(votes)  # a mask stays, to be refused
    if votes.ndim != 2 or 0 in votes.shape:
        raise ValueError(f"votes have shape {votes.shape}; allowed: (n_pairs, n_rules), not empty")
    counts.check_estimator(estimator, counts.DISCRETE)
    y = checks.checked("y", y, len(votes))
    pattern = np.zeros(len(votes), np.int64)
    for j in range(votes.shape[1]):
        column = checks.codes(checks.checked(f"votes of rule {j}", votes[:, j]))
        # Patterns are numbered anew at every rule, so the number never outgrows n_pairs.
        pattern = checks.codes(pattern * (column.max() + 1) + column)
    estimator = "miller_madow" if estimator == "auto" else estimator
    return checked_information(pattern, y, estimator, unit, checks.checked_weights(weights, len(y)))


def settled(
    x: np.ndarray, y: np.ndarray, estimator: str, discrete: tuple[bool, bool] | None = None
) -> tuple[str, tuple[bool, bool]]:
    """The estimator that ``auto`` stands for, and whether x and y are categories.

    A part of the rows has fewer values and other ties than the whole; what is decided here on all
    rows is passed on, so that strata and resamples are estimated as the whole is.
    """
    counts.check_estimator(estimator, counts.DISCRETE + CONTINUOUS)
    asked = discrete is not None
    if not asked:
        discrete = checks.is_discrete(x), checks.is_discrete(y)
        if estimator == "ross" and not any(discrete):
            discrete = (False, True) if checks.is_whole(y) else (checks.is_whole(x), False)
    elif np.shape(discrete) != (2,) or not all(isinstance(d, bool | np.bool_) for d in discrete):
        raise ValueError(f"discrete is {discrete!r}; allowed: None, or True or False for x and y")
    if all(discrete) and not asked and estimator in ("auto", "mixed"):
        discrete = _less_sparse(x, y, estimator)
    if estimator == "auto":
        estimator = "miller_madow" if all(discrete) else "mixed"
    return estimator, tuple(discrete)


def _less_sparse(x: np.ndarray, y: np.ndarray, estimator: str) -> tuple[bool, bool]:
    """Whether two categories stay that: numbers whose table would be sparse are quantities.

    Miller and Madow's correction leaves .01 bits and more of the bias where the cells of a table
    hold fewer than ten observations each (.35 bits for 31 × 31 independent values, n = 1,000).
    With at most `FEW` values a number stays a category, beside one that has more.
    """
    sizes = len(np.unique(x)), len(np.unique(y))
    numbers = x.dtype.kind in "biuf", y.dtype.kind in "biuf"
    filled = max(sizes) <= checks.FEW or len(x) >= _LEAST_IN_CELLS * sizes[0] * sizes[1]
    if not any(numbers) or (estimator == "auto" and (filled or not all(numbers))):
        return True, True
    if all(numbers) and min(sizes) > checks.FEW:
        return False, False
    quantity = int(sizes[1] > sizes[0]) if all(numbers) else numbers.index(True)
    return quantity != 0, quantity != 1


def checked_information(
    x,
    y,
    estimator: str = "auto",
    unit: str = "bits",
    weights: np.ndarray | None = None,
    k: int = 3,
    discrete: tuple[bool, bool] | None = None,
) -> float:
    """`rulekit.information.mutual_information` of checked variables and weights."""
    checks.check_count("k", k)
    estimator, discrete = settled(x, y, estimator, discrete)
    if estimator in counts.DISCRETE:
        table, _ = counts.counted([checks.codes(x), checks.codes(y)], weights)
        return float(counts.information_of(table[None], estimator, unit)[0])

    def part(rows) -> float:
        return neighbours.neighbour_information(x[rows], y[rows], estimator, unit, k, discrete)

    if weights is None or (weights == weights[0]).all():
        return part(slice(None))
    return float(np.mean([part(rows) for rows in _thinnings(weights)]))


def _thinnings(weights: np.ndarray):
    """Rows kept in each of `_THINNINGS` thinnings, a row with chance weight / largest weight.

    The kept rows are a sample, without repetitions, of the law that the weights describe. Over
    the thinnings a row's uniform number goes once round the circle, so a row is kept as often as
    its chance says; the numbers come from a fixed seed.
    """
    chance = weights / weights.max()
    if chance.sum() < _LEAST_ROWS:
        raise ValueError(
            f"weights leave {chance.sum():.1f} rows (their sum over the largest); allowed for "
            f"estimates by neighbours: {_LEAST_ROWS} or more"
        )
    uniform = np.random.default_rng(0).random(len(weights))
    for turn in np.arange(_THINNINGS) / _THINNINGS:
        yield np.flatnonzero((uniform + turn) % 1.0 < chance)
