"""Label models: scores and selected rules come in, a preference with its confidence goes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.inputs.scores import Scores, votes
from rulekit.kernels import selection as kernel
from rulekit.selection.estimates import Estimates, dawid_skene_posterior, known_preference
from rulekit.selection.registry import Selection
from rulekit.tables import html_table

TIE_POLICIES = {
    "abstain": "a tied pair gets preference 0 and no training target",
    "soft": "every pair gets the target P(A is preferred), a tied pair 0.5",
    "drop": "tied pairs are left out; `index` says which rows are kept",
}


@dataclass(frozen=True, eq=False)
class Labels:
    """A label for each pair.

    Attributes
    ----------
    margin
        Evidence for the first response over the chosen rules, (n,): the sum of discrepancies or
        of votes; under `weighted` and `dawid_skene` the log-odds of Y = +1.
    preference
        +1 the first response, -1 the second, 0 a tie, int8 (n,).
    confidence
        Probability in [0.5, 1] of the preferred side, σ(β |margin|), (n,). How far it is one,
        `rulekit.measures.calibration` measures.
    target
        What a reward model is trained on, P(A is preferred) in [0, 1], (n,): 1 or 0 under
        `abstain` and `drop`, NaN where a tie abstains, σ(β margin) under `soft`.
    index
        Row of the scores each label belongs to, (n,).
    tie
        The tie policy in force.
    majority
        Beside a learned label (`weighted`, `dawid_skene`), what the plain majority of the same
        votes says: -1, 0, +1, int8 (n,). Otherwise None.
    """

    margin: np.ndarray
    preference: np.ndarray
    confidence: np.ndarray
    target: np.ndarray
    index: np.ndarray
    tie: str
    majority: np.ndarray | None = None

    def __repr__(self) -> str:
        n, counts = len(self.preference), self._counts()
        sure = f", mean confidence {self.confidence.mean():.3f}" if n else ""
        return (
            f"Labels({n:,} pairs: {counts[1]:,} first, {counts[-1]:,} second, {counts[0]:,} tied; "
            f"tie={self.tie!r}{sure})"
        )

    def _repr_html_(self) -> str:
        said = {1: "+1, the first response", -1: "-1, the second response", 0: "0, a tie"}
        counts = self._counts()
        rows = [
            (said[y], f"{counts[y]:,}", *self._means(self.preference == y))
            for y in said
            if counts[y]
        ]
        rows.append(("all", f"{len(self.preference):,}", *self._means(slice(None))))
        head = ("preference", "pairs", "mean confidence", "mean |margin|")
        return html_table(repr(self), head, rows, len(rows))

    def _counts(self) -> dict[int, int]:
        return {y: int((self.preference == y).sum()) for y in (1, -1, 0)}

    def _means(self, rows) -> tuple[str, str]:
        confidence, margin = self.confidence[rows], np.abs(self.margin[rows])
        return ("", "") if not len(margin) else (f"{confidence.mean():.3f}", f"{margin.mean():.3f}")


def label(
    scores: Scores,
    selection: Selection,
    method: str = "sum",
    tie: str = "abstain",
    *,
    beta: float = 1.0,
    estimates: Estimates | None = None,
) -> Labels:
    """Label each pair from the scores of its selected rules.

    Parameters
    ----------
    scores
        Scores of n_pairs pairs under n_rules rules.
    selection
        Rules chosen from these scores, (n_pairs, k).
    method
        ``sum``: the response with the larger sum of scores over the chosen rules is preferred.
        ``majority``: the response that more of them vote for. ``weighted``: by the log-odds
        that `estimates` gives each rule. ``dawid_skene``: by the accuracies that the votes'
        agreement with each other implies.
    tie
        What becomes of a margin of zero: ``abstain``, ``soft`` or ``drop``. Margins within
        k · 5e-7 of zero (times the largest weight, where there are weights) are ties, as
        `rulekit.inputs.votes` says.
    beta
        Slope of the confidence, positive: how much evidence one unit of margin is. It is a
        probability only as far as β fits the judge.
    estimates
        For ``weighted``: what `rulekit.estimate` made of other pairs.

    Returns
    -------
    Labels, one a pair in the order of the scores; under ``drop`` of the pairs without a tie.

    Raises
    ------
    ValueError
        For an unknown method or tie policy, a β that is not positive, a selection that does
        not belong to the scores, or estimates missing or of another number of rules.

    Notes
    -----
    `notebooks/METHODS.md` has the formula of every method, what its margin means, and its
    references. The sum is the Bayes decision if votes are independent and right with σ(β|δ_j|).
    """
    if method not in _METHODS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(_METHODS)}")
    if tie not in TIE_POLICIES:
        raise ValueError(f"unknown tie policy {tie!r}; allowed: {', '.join(TIE_POLICIES)}")
    if not (np.isfinite(beta) and beta > 0):
        raise ValueError(f"beta is {beta}; allowed: a positive number")
    if (len(selection.indices), selection.n_rules) != (scores.n_pairs, scores.n_rules):
        raise ValueError(
            f"the selection is of {len(selection.indices)} pairs and {selection.n_rules} rules; "
            f"allowed: {scores.n_pairs} and {scores.n_rules}, as the scores"
        )
    margin, unit = _METHODS[method](scores, selection, estimates)
    preference = votes(margin, unit * selection.k).astype(np.int8)
    tied = preference == 0
    margin[tied] = 0.0
    confidence = 1.0 / (1.0 + np.exp(-beta * np.abs(margin)))
    soft = np.where(margin >= 0, confidence, 1.0 - confidence)
    target = soft if tie == "soft" else np.where(tied, np.nan, preference > 0)
    index = np.arange(scores.n_pairs)
    kept = index[~tied] if tie == "drop" else index
    plain = None
    if method in _LEARNED:
        plain = np.sign(_majority(scores, selection, None)[0]).astype(np.int8)[kept]
    return Labels(margin[kept], preference[kept], confidence[kept], target[kept], kept, tie, plain)


def label_methods() -> list[str]:
    """The names that `label` takes as its method."""
    return sorted(_METHODS)


def sign_audit(
    reference: Scores, preference, rate: float = 0.1, prior: float = 0.5
) -> pl.DataFrame:
    """Which rules point the wrong way, told from n labelled pairs.

    Parameters
    ----------
    reference
        Scores of n_pairs pairs, (n_pairs, n_rules).
    preference
        +1, -1, or 0 where it is not known, (n_pairs,).
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
    y = known_preference(preference, reference.n_pairs)
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


def _sum(scores: Scores, selection: Selection, _) -> tuple[np.ndarray, float]:
    return kernel.margins(scores.a, scores.b, selection.indices), 1.0


def _majority(scores: Scores, selection: Selection, _) -> tuple[np.ndarray, float]:
    chosen = np.take_along_axis(scores.votes, selection.indices, axis=1)
    return chosen.sum(axis=1), 1.0


def _weighted(
    scores: Scores, selection: Selection, estimates: Estimates | None
) -> tuple[np.ndarray, float]:
    if estimates is None:
        raise ValueError(
            "method 'weighted' needs estimates: rulekit.estimate(reference, preference)"
        )
    if estimates.n_rules != scores.n_rules:
        raise ValueError(f"estimates: {estimates.n_rules} rules; allowed: {scores.n_rules}")
    x = estimates.transform(scores.discrepancy)
    if selection.fixed:
        chosen = selection.indices[0]
        w = estimates.weights(chosen)
        return x[:, chosen] @ w, np.abs(w).max()
    w = estimates.weights()
    return np.take_along_axis(x * w, selection.indices, axis=1).sum(axis=1), np.abs(w).max()


def _dawid_skene(scores: Scores, selection: Selection, _) -> tuple[np.ndarray, float]:
    q = dawid_skene_posterior(np.where(selection.mask(), scores.votes, 0.0))
    return np.log(q) - np.log1p(-q), 1.0


_METHODS: dict[str, Callable[..., tuple[np.ndarray, float]]] = {
    "sum": _sum,
    "majority": _majority,
    "weighted": _weighted,
    "dawid_skene": _dawid_skene,
}
_LEARNED = ("weighted", "dawid_skene")
