"""Intervals and p-values of information estimates: bootstrap, permutation, false discovery rate.

Votes or discrepancies (n_pairs, n_rules), or one variable, with a preference come in; intervals,
p-values and one table a rule set go out, on the fast paths that these have; any other estimate is
resampled by `rulekit.information.resampling`. Every draw has its own seeded generator, so that
thread counts change nothing.
"""

from __future__ import annotations

import numpy as np

from rulekit.information import checks, counts, mutual, neighbours
from rulekit.information.resampling import half_scale, interval, p_value, percentiles, tail
from rulekit.kernels import RESOLUTION
from rulekit.kernels import votes as kernel
from rulekit.kernels.threads import in_chunks


def bootstrap_interval(
    x,
    y,
    estimator: str = "auto",
    unit: str = "bits",
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    k: int = 3,
) -> np.ndarray:
    """Interval of the mutual information with y, (2,) for one variable, (n_rules, 2) for votes.

    Parameters
    ----------
    x
        One variable, (n_pairs,); or votes -1, 0 and +1, or continuous discrepancies, of every
        rule, (n_pairs, n_rules).
    y
        Discrete values, (n_pairs,); for votes -1, 0 and +1.
    estimator, unit, k
        As for `rulekit.information.mutual_information`.
    n
        Number of resamples.
    level
        Between 0 and 1.
    seed
        Rule j draws from ``default_rng([seed, j])``.

    Returns
    -------
    Lower and upper end of each, in the unit.

    Raises
    ------
    ValueError
        As for `rulekit.information.mutual_information`; for n or level out of range; for fewer
        than 4 rows of a continuous variable.

    Notes
    -----
    Two continuous variables, (n_pairs,) each, and everything else that is estimated, have their
    intervals from `interval`.
    Discrete: percentiles of the estimate over multinomial resamples of the contingency table.
    Continuous: resampling with replacement makes ties that a neighbour estimate takes for atoms,
    so the estimate's error is taken from samples of half the pairs without replacement, whose
    spread about their mean is that of the full estimate (Politis & Romano).
    Coverage of 95 % intervals in simulation, away from 0 and with N = 200 and 1,000: plug-in and
    Miller–Madow .93–.95, shrinkage .89–.95, ``mixed`` .96; with 40 % zeros ``mixed`` .90 and .95
    (standard errors .005, ``mixed`` .01). Where the information is 0 the
    law of the estimate is another one, and percentiles cover nearly always (Miller–Madow) or never
    (plug-in): take `permutation_test` there.

    References
    ----------
    D. Politis and J. Romano, "Large sample confidence regions based on subsamples under minimal
    assumptions", Annals of Statistics 22 (1994).
    """
    x = np.asanyarray(x)
    sides = percentiles(n, level)
    if x.ndim == 1:
        return _interval_of_one(x, y, estimator, unit, n, level, seed, k)
    if _are_votes(x, estimator):
        tables = counts.vote_tables(x, y).astype(np.float64)
        return _table_intervals(tables, estimator, unit, n, sides, seed)
    return _half_samples(*_continuous(x, y), estimator, unit, n, sides, seed, k)


def permutation_test(
    votes, y, n: int = 1000, seed: int = 0, family_wise: bool = False, k: int = 3
) -> np.ndarray | float:
    """P-value of each rule: how often chance alone would show as much information, (n_rules,).

    Parameters
    ----------
    votes
        -1, 0 and +1, or continuous discrepancies, (n_pairs, n_rules); or one variable of any
        kind, (n_pairs,), which has one p-value, a float.
    y
        Discrete, (n_pairs,); for votes -1, 0 and +1; beside one variable of any kind.
    n
        Number of permutations, where the p-value is not exact; the least p is then 1 / (n + 1).
    seed
        Draw i uses ``default_rng([seed, i])``, i a rule or, where rules share permutations, a
        permutation.
    family_wise
        Compare each rule with the largest of all rules under the same permutations of y, which
        keeps the chance of one false finding or more below p.
    k
        Neighbours, for discrepancies.

    Returns
    -------
    p, in [0, 1]: exact ones may be below every float.

    Raises
    ------
    ValueError
        For shapes that do not fit, missing values, or n below 1.

    Notes
    -----
    Under permutations of y a table keeps its margins. A rule and y of two values each, such as
    votes without abstentions, have an exact p-value from the hypergeometric law. Other tables are
    drawn from the law that shuffles would give them (a chain of hypergeometric draws), without
    shuffling. The statistic of a table is the plug-in information.
    Discrepancies, and ``family_wise``, shuffle y for real, the same way for every rule.

    References
    ----------
    P. Westfall and S. Young, "Resampling-based multiple testing" (1993), for ``family_wise``.
    """
    checks.check_count("n", n)
    votes = np.asanyarray(votes)
    if votes.ndim == 1:
        return _test_of_one(votes, y, n, seed, k)
    if not _are_votes(votes, "auto"):
        found, null = _discrepancy_null(*_continuous(votes, y), n, seed, k)
    elif family_wise:
        found, null = _shuffled_null(votes, y, n, seed)
    else:
        return _table_tests(counts.vote_tables(votes, y), n, seed)
    if family_wise:
        null = null.max(axis=1, keepdims=True)
    return tail(found, null)


def benjamini_hochberg(p) -> np.ndarray:
    """q-values: the false discovery rate at which each p-value is still a discovery, (m,).

    Parameters
    ----------
    p
        p-values, 0 to 1, (m,).

    Raises
    ------
    ValueError
        For values that are missing or out of range.

    References
    ----------
    Y. Benjamini and Y. Hochberg, JRSS B 57 (1995); computed by scipy.
    """
    from scipy.stats import false_discovery_control

    p = checks.checked("p", p).astype(np.float64)
    if p.min() < 0 or p.max() > 1:
        raise ValueError("p: allowed: 0 to 1")
    return false_discovery_control(p)


def rule_information(
    votes,
    y,
    rule_ids=None,
    estimator: str = "auto",
    unit: str = "bits",
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    k: int = 3,
):
    """What each rule tells about y, one row a rule, as a Polars frame.

    Parameters
    ----------
    votes
        -1, 0 and +1, or continuous discrepancies, (n_pairs, n_rules). Discrepancies are compared
        in steps of 1e-6, as selection does, so that rounding breaks no ties.
    y
        Discrete, (n_pairs,); for votes -1, 0 and +1.
    rule_ids
        Names, (n_rules,). Default: positions.
    estimator, unit, n, level, seed, k
        As for `bootstrap_interval` and `permutation_test`.

    Returns
    -------
    polars.DataFrame with `rule`, `estimate`, `low` and `high` (the interval), `p` (permutation
    test) and `q` (Benjamini–Hochberg over the rules).
    """
    import polars as pl

    votes = np.asanyarray(votes)
    if _are_votes(votes, estimator):
        tables = counts.vote_tables(votes, y).astype(np.float64)
        estimates = counts.information_of(tables, estimator, unit)
    else:
        votes, y = _continuous(votes, y)
        votes = np.rint(votes / RESOLUTION)
        estimator = "mixed" if estimator == "auto" else estimator
        estimates = neighbours.class_information(votes, y, estimator, unit, k)
    rule_ids = list(range(len(estimates))) if rule_ids is None else list(rule_ids)
    if len(rule_ids) != len(estimates):
        raise ValueError(f"rule_ids: {len(rule_ids)} ids; allowed: {len(estimates)}")
    ends = bootstrap_interval(votes, y, estimator, unit, n, level, seed, k)
    p = permutation_test(votes, y, n, seed, k=k)
    return pl.DataFrame(
        {
            "rule": rule_ids,
            "estimate": estimates,
            "low": ends[:, 0],
            "high": ends[:, 1],
            "p": p,
            "q": benjamini_hochberg(p),
        }
    )


def _are_votes(x: np.ndarray, estimator: str) -> bool:
    """Whether to count tables: all values -1, 0 or +1, or the estimator wants it so."""
    counts.check_estimator(estimator, (*counts.DISCRETE, "mixed", "ross"))
    if estimator != "auto":
        return estimator in counts.DISCRETE
    values = np.asarray(x)
    return bool(((values == 0) | (values == 1) | (values == -1)).all())


def _interval_of_one(x, y, estimator, unit, n, level, seed, k) -> np.ndarray:
    x = checks.checked("x", x)
    y = checks.checked("y", y, len(x))
    estimator, discrete = mutual.settled(x, y, estimator)
    sides = percentiles(n, level)
    if estimator in counts.DISCRETE:
        table, _ = counts.counted([checks.codes(x), checks.codes(y)], None)
        return _table_intervals(table[None], estimator, unit, n, sides, seed)[0]
    if estimator != "ksg" and discrete[1] and x.dtype.kind in "biuf":
        return _half_samples(x[:, None], y, estimator, unit, n, sides, seed, k)[0]
    options = {"estimator": estimator, "unit": unit, "k": k, "discrete": discrete}
    return interval(mutual.checked_information, x, y, n=n, level=level, seed=seed, **options)


def _test_of_one(x, y, n, seed, k) -> float:
    x = checks.checked("x", x)
    y = checks.checked("y", y, len(x))
    estimator, discrete = mutual.settled(x, y, "auto")
    if estimator in counts.DISCRETE:
        table, _ = counts.counted([checks.codes(x), checks.codes(y)], None)
        return float(_table_tests(table[None].astype(np.int64), n, seed)[0])
    if discrete[1]:
        found, null = _discrepancy_null(x[:, None], y, n, seed, k)
        return float(tail(found, null)[0])
    return p_value(mutual.checked_information, x, y, n=n, seed=seed, k=k, discrete=discrete)


def _continuous(x: np.ndarray, y) -> tuple[np.ndarray, np.ndarray]:
    missing = checks.first_missing(x) if np.ma.isMaskedArray(x) else None
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"votes have shape {x.shape}; allowed: (n_pairs, n_rules), not empty")
    if missing is not None:
        (row, rule), what = missing
        raise ValueError(f"votes, row {row}, rule {rule} is {what}; allowed: finite values")
    if not np.isfinite(x).all():
        row, rule = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"votes, row {row}, rule {rule} is {x[row, rule]}; allowed: finite values")
    y = checks.checked("y", y, len(x))
    if not checks.is_whole(y):
        raise ValueError("y is continuous; allowed: discrete values")
    return x, y


def _table_intervals(tables, estimator, unit, n, sides, seed) -> np.ndarray:
    out = np.empty((len(tables), 2))
    for j, table in enumerate(tables):
        total = round(table.sum())
        cells = np.flatnonzero(table)
        draws = np.zeros((n, table.size))
        chances = table.ravel()[cells] / table.sum()
        draws[:, cells] = np.random.default_rng([seed, j]).multinomial(total, chances, n)
        found = counts.information_of(draws.reshape(n, *table.shape), estimator, unit)
        out[j] = np.percentile(found, sides)
    return out


def _half_samples(x, y, estimator, unit, n, sides, seed, k) -> np.ndarray:
    size = checks.unit_size(unit)
    estimates = neighbours.class_information(x, y, estimator, unit, k)
    labels = checks.codes(y)
    rows, m = x.shape
    if rows < 4:
        raise ValueError(f"{rows} rows; allowed: 4 or more for an interval")
    half = rows // 2
    scale = half_scale(rows)
    out = np.empty((m, 2))

    def run(start: int, stop: int) -> None:
        for j in range(start, stop):
            order = np.argsort(x[:, j], kind="stable")
            everyone, sorted_labels = x[order, j].astype(np.float64), labels[order]
            rng = np.random.default_rng([seed, j])
            chosen = np.zeros(rows, bool)
            chosen[:half] = True
            found = np.empty(n)
            for i in range(n):
                rng.shuffle(chosen)
                found[i] = neighbours.sorted_nats(everyone[chosen], sorted_labels[chosen], k)
            low, high = np.percentile(found - found.mean(), sides)
            out[j] = estimates[j] + np.array([low, high]) * scale / size

    in_chunks(run, m, rows * n, None)
    return out


def _discrepancy_null(x, y, n, seed, k) -> tuple[np.ndarray, np.ndarray]:
    """Observed information, (n_rules,), and that under each permutation of y, (n, n_rules), nats."""
    labels = checks.codes(y)
    rows, m = x.shape
    found, null = np.empty(m), np.empty((n, m))

    def run(start: int, stop: int) -> None:
        for j in range(start, stop):
            order = np.argsort(x[:, j], kind="stable")
            everyone = x[order, j].astype(np.float64)
            found[j] = neighbours.sorted_nats(everyone, labels[order], k)
            for i in range(n):
                shuffled = np.random.default_rng([seed, i]).permutation(labels)
                null[i, j] = neighbours.sorted_nats(everyone, shuffled[order], k)

    in_chunks(run, m, rows * n, None)
    return found, null


def _shuffled_null(votes, y, n, seed) -> tuple[np.ndarray, np.ndarray]:
    """As `_discrepancy_null` for votes: plug-in information from tables with a shuffled y."""
    planes, rows = checks.vote_planes("votes", votes)
    side = checks.preference_planes(y, rows)
    y = np.asarray(y).astype(np.int8)
    plogp = _plogp_table(rows)
    tables = kernel.class_tables(planes, side, rows)
    # The margins stay: Σ c log c over the cells, less a constant of each rule, is n I.
    margins = plogp[tables.sum(axis=1)].sum(axis=1) + plogp[tables.sum(axis=2)].sum(axis=1)

    def nats(tables: np.ndarray) -> np.ndarray:
        return (plogp[tables].sum(axis=(1, 2)) - margins + plogp[rows]) / rows

    null = np.empty((n, planes.shape[1]))

    def run(start: int, stop: int) -> None:
        for i in range(start, stop):
            shuffled = np.random.default_rng([seed, i]).permutation(y)
            null[i] = nats(kernel.class_tables(planes, kernel.pack_one(shuffled), rows))

    in_chunks(run, n, planes.size, None)
    return nats(tables), null


def _table_tests(tables: np.ndarray, n: int, seed: int) -> np.ndarray:
    """p-values of tables with both margins fixed, (t,): exact where 2 × 2, else sampled."""
    from scipy.special import gammaln

    total = int(tables[0].sum())
    plogp, p = _plogp_table(total), np.ones(len(tables))
    rows, columns = (tables.sum(axis=2) > 0).sum(axis=1), (tables.sum(axis=1) > 0).sum(axis=1)
    small = np.flatnonzero((rows == 2) & (columns == 2))
    if len(small):
        inner = np.array([t[np.ix_(t.any(axis=1), t.any(axis=0))] for t in tables[small]])
        tails = np.empty(len(small))
        kernel.exact_tail(inner, plogp, gammaln(np.arange(total + 1) + 1.0), tails)
        p[small] = tails
    for j in np.flatnonzero((rows > 1) & (columns > 1) & (rows + columns > 4)):
        draws = _tables_under_shuffles(tables[j], n, np.random.default_rng([seed, j]))
        found, null = plogp[tables[j]].sum(), plogp[draws].sum(axis=(1, 2))
        p[j] = (1 + (null >= found - 1e-12 * max(1.0, found)).sum()) / (1 + n)
    return p


def _tables_under_shuffles(table: np.ndarray, n: int, rng) -> np.ndarray:
    """Tables with the margins of `table` as shuffles of one variable give them, (n, r, c)."""
    draws = np.zeros((n, *table.shape), np.int64)
    left = np.tile(table.sum(axis=1), (n, 1))  # of each row, not yet given to a column
    for column, wanted in enumerate(table.sum(axis=0)):
        need = np.full(n, wanted)
        for row in range(len(table)):
            below = left[:, row + 1 :].sum(axis=1)
            drawn = rng.hypergeometric(left[:, row], below, need)
            draws[:, row, column] = drawn
            need -= drawn
        left -= draws[:, :, column]
    return draws


def _plogp_table(n: int) -> np.ndarray:
    """c log c of every count that n rows can give, (n + 1,)."""
    return counts.plogp(np.arange(n + 1, dtype=np.float64))
