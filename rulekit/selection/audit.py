"""Which rules point the wrong way: scores and a few preferences come in, a frame of tests goes out.

Notebook 15 shows it. `estimates` says what rules are worth; this says which should be looked at.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.scores import Scores, votes
from rulekit.selection.preferences import known_preference


def sign_audit(
    reference: Scores, preference: np.ndarray | pl.DataFrame, rate: float = 0.1, prior: float = 0.5
) -> pl.DataFrame:
    """Which rules point the wrong way, told from n labelled pairs.

    Parameters
    ----------
    reference
        Scores of n_pairs pairs, (n_pairs, n_rules).
    preference
        +1, -1, and 0 or null where it is not known, (n_pairs,); or the canonical frame of the
        pairs.
    rate
        False discovery rate among the flagged rules, in (0, 1).
    prior
        Pseudo-counts of right and of wrong votes, positive; ½ is Jeffreys' prior.

    Returns
    -------
    A row a rule, in their order: ``rule``, ``votes`` (labelled pairs on which it votes),
    ``agreement`` (share of them that are right, NaN without a vote), ``p_reversed`` (posterior
    probability that its accuracy is below ½), ``p_value`` (exact binomial test of accuracy ≥ ½),
    ``q_value`` (Benjamini–Hochberg) and ``flagged`` (q ≤ rate).

    Raises
    ------
    ValueError
        For a rate or prior out of range, or no known preference.

    Notes
    -----
    Accuracy ~ Beta(prior, prior) before; after r right of n votes P(accuracy < ½) is the
    incomplete beta function I_½(prior + r, prior + n - r). At most a share `rate` of flagged
    rules is expected to be right more often than wrong, when rules are independent or positively
    dependent. `sign_audit_errors` measures both errors by simulation.

    References
    ----------
    Y. Benjamini, Y. Hochberg, JRSS B 57 (1995). H. Jeffreys (1946).
    """
    from scipy.special import betainc
    from scipy.stats import binom, false_discovery_control

    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}; allowed: above 0, below 1")
    if not (np.isfinite(prior) and prior > 0):
        raise ValueError(f"prior is {prior}; allowed: a positive number")
    y = known_preference(preference, reference.whole("reference"))
    if not y.any():
        raise ValueError("no preference of the reference is known")
    right_or_wrong = votes(reference.discrepancy[y != 0]) * y[y != 0, None]
    right, n = (right_or_wrong > 0).sum(axis=0), (right_or_wrong != 0).sum(axis=0)
    p_value = binom.cdf(right, n, 0.5)
    q_value = false_discovery_control(p_value)
    return pl.DataFrame(
        {
            "rule": reference.names,
            "votes": n,
            "agreement": np.where(n > 0, right / np.maximum(n, 1), np.nan),
            "p_reversed": betainc(prior + right, prior + n - right, 0.5),
            "p_value": p_value,
            "q_value": q_value,
            "flagged": q_value <= rate,
        }
    )


def sign_audit_errors(
    accuracy, n_labelled: int, rate: float = 0.1, repeats: int = 200, seed: int = 0
) -> dict[str, float]:
    """Error rates of `sign_audit` by simulation from rules of known accuracies.

    Parameters
    ----------
    accuracy
        True accuracy of each rule, (n_rules,), in [0, 1]; below ½ is reversed. Votes are
        independent and no rule abstains.
    n_labelled
        Labelled pairs, 1 or more.
    rate, seed
        As `sign_audit`; seed of the generator.
    repeats
        Simulated audits, 1 or more.

    Raises
    ------
    ValueError
        For an accuracy out of range, or fewer than one labelled pair or audit.

    Returns
    -------
    ``false_discovery``: mean share of wrongly flagged among the flagged (0 where none is);
    ``missed``: mean share of reversed rules not flagged; ``false_alarm``: mean share of right
    rules flagged; and their standard errors ``…_se``.
    """
    p = np.asarray(accuracy, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all() or n_labelled < 1:
        raise ValueError("accuracy: allowed: (n_rules,) in [0, 1]; n_labelled: 1 or more")
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; allowed: 1 or more")
    rng, rows, wrong = np.random.default_rng(seed), [], p < 0.5
    for _ in range(repeats):
        right = rng.random((n_labelled, len(p))) < p
        audit = sign_audit(
            Scores.from_discrepancy(np.where(right, 1.0, -1.0)), np.ones(n_labelled), rate
        )
        flag = audit["flagged"].to_numpy()
        rows.append(
            (
                (flag & ~wrong).sum() / max(flag.sum(), 1),
                (wrong & ~flag).sum() / max(wrong.sum(), 1),
                (flag & ~wrong).sum() / max((~wrong).sum(), 1),
            )
        )
    table = np.array(rows)
    names = ("false_discovery", "missed", "false_alarm")
    spread = table.std(axis=0, ddof=1) / np.sqrt(repeats) if repeats > 1 else np.full(3, np.nan)
    return {
        **dict(zip(names, table.mean(axis=0).tolist(), strict=True)),
        **{f"{n}_se": float(s) for n, s in zip(names, spread, strict=True)},
    }
