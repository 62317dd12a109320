"""Label models: scores and selected rules come in, a preference with its confidence goes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.identity import UNKNOWN, Identity
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores, votes
from rulekit.kernels import selection as kernel
from rulekit.measures import Accuracy, pairwise_accuracy
from rulekit.selection.dawid_skene import dawid_skene_posterior
from rulekit.selection.registry import Selection
from rulekit.selection.rule_model import Estimates
from rulekit.tables import html_table

TIE_POLICIES = {
    "abstain": "a tied pair gets preference 0 and no training target",
    "soft": "every pair gets the target P(A is preferred), a tied pair 0.5",
    "drop": "tied pairs are left out; `index` says which rows are kept",
}


_COLUMNS = ("margin", "preference", "confidence", "target")


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
    identity
        The pairs that are labelled, and the rules that spoke.
    """

    margin: np.ndarray
    preference: np.ndarray
    confidence: np.ndarray
    target: np.ndarray
    index: np.ndarray
    tie: str
    majority: np.ndarray | None = None
    identity: Identity = UNKNOWN

    def rows(self, index) -> Labels:
        """The labels of some pairs: an integer or boolean index, or a slice."""
        index = index if isinstance(index, slice) else np.asarray(index)
        taken = {n: getattr(self, n)[index] for n in (*_COLUMNS, "index")}
        majority = None if self.majority is None else self.majority[index]
        return replace(self, **taken, majority=majority, identity=self.identity.rows(index))

    def aligned(self, pairs: pl.DataFrame) -> Labels:
        """A label for each of these pairs, in their order.

        Parameters
        ----------
        pairs
            Canonical frame that holds every labelled pair. One without a label, such as a tie
            that was dropped, gets preference 0 and the target NaN.

        Raises
        ------
        ValueError
            If a labelled pair is not there; or there are no ids and lengths differ.
        """
        if self.identity.pair_ids is None:
            if len(self.margin) != len(pairs):
                raise ValueError(f"labels of {len(self.margin)} pairs; allowed: {len(pairs)}")
            return self
        there = Identity.of(pairs=pairs)
        at = self.identity.rows_of(there, "pairs")
        if at is None:
            return self
        blank = {"margin": 0.0, "preference": 0, "confidence": 0.5, "target": np.nan, "index": -1}
        every = {}
        for name, empty in blank.items():
            values = getattr(self, name)
            every[name] = np.full(len(pairs), empty, values.dtype)
            every[name][at] = values
        majority = None
        if self.majority is not None:
            majority = np.zeros(len(pairs), np.int8)
            majority[at] = self.majority
        identity = replace(self.identity, pair_ids=there.pair_ids)
        return replace(self, **every, majority=majority, identity=identity)

    def write(self, path: str | Path) -> Path:
        """Write as Parquet, atomically: pair_id, margin, preference, confidence, target."""
        ids = self.identity.pair_ids or map(str, self.index)
        columns = {"pair_id": list(ids)} | {name: getattr(self, name) for name in _COLUMNS}
        frame = pl.DataFrame(columns).with_columns(pl.col("target").fill_nan(None))
        if self.majority is not None:
            frame = frame.with_columns(majority=self.majority)
        told = {"rulekit.tie": self.tie, "rulekit.rules": self.identity.rules.as_json()}
        return write_atomically(path, lambda p: frame.write_parquet(p, metadata=told))

    @classmethod
    def read(cls, path: str | Path) -> Labels:
        """Read what `write` wrote.

        Raises
        ------
        ValueError
            If the file is no table of labels.
        """
        frame, told = pl.read_parquet(path), pl.read_parquet_metadata(path)
        if "rulekit.tie" not in told or not {"pair_id", *_COLUMNS} <= set(frame.columns):
            raise ValueError(f"{path}: not written by Labels.write (columns {frame.columns})")
        columns = {name: frame[name].fill_null(np.nan).to_numpy() for name in _COLUMNS}
        rules = Identity.from_json(told["rulekit.rules"])
        return cls(
            **columns,
            index=np.arange(len(frame)),
            tie=told["rulekit.tie"],
            majority=frame["majority"].to_numpy() if "majority" in frame.columns else None,
            identity=replace(rules, pair_ids=tuple(frame["pair_id"].to_list())),
        )

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
        return (
            ("–", "–") if not len(margin) else (f"{confidence.mean():.3f}", f"{margin.mean():.3f}")
        )


def label(
    scores: Scores,
    selection: Selection | None = None,
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
        The rules that speak, (n_pairs, k); pairs and rules in another order are found by their
        ids. None: every rule that was rated for the pair.
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
        For an unknown method or tie policy, a β that is not positive, a selection or estimates of
        other pairs or rules, a selected rule that was not rated, or estimates missing; under
        ``dawid_skene`` for votes whose agreement cannot tell how often a rule is right: fewer than
        three rules, or one vote a pair.

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
    if estimates is not None:
        estimates = estimates.aligned(scores.identity)
    identity = scores.identity
    scores, selection, n_rules = _chosen(scores, selection)
    margin, unit = _METHODS[method](scores, selection, estimates)
    preference = votes(margin, unit * n_rules).astype(np.int8)
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
    labels = margin[kept], preference[kept], confidence[kept], target[kept]
    return Labels(*labels, kept, tie, plain, identity.rows(kept) if tie == "drop" else identity)


def accuracy(labels, pairs: pl.DataFrame) -> Accuracy:
    """Share of pairs whose known preference labels, or a model, agree with.

    Parameters
    ----------
    labels
        `Labels`, found by the ids of their pairs; a reward model, or anything with
        ``margin(pairs)``; or margins for the first response, (n_pairs,).
    pairs
        Canonical frame, n_pairs rows. Pairs without a known strict preference, and without a
        label, do not count.

    Returns
    -------
    As of `rulekit.measures.pairwise_accuracy`, with the prompts as groups.

    Raises
    ------
    ValueError
        If labels are of other pairs, or no pair counts.
    """
    if isinstance(labels, Labels):
        labels = labels.aligned(pairs)
        known = labels.index >= 0
        pairs, margin = pairs.filter(pl.Series(known)), labels.margin[known]
    else:
        margin = labels.margin(pairs) if hasattr(labels, "margin") else np.asarray(labels)
    groups = prompt_groups(pairs).to_list()
    return pairwise_accuracy(margin, pairs["preference"], groups)


def label_methods() -> list[str]:
    """The names that `label` takes as its method."""
    return sorted(_METHODS)


def _chosen(scores: Scores, selection: Selection | None) -> tuple[Scores, Selection, np.ndarray]:
    """Scores and rules to label by, and the number of rules that speak for each pair.

    What was not rated becomes a discrepancy of zero, which speaks for neither response.
    """
    if selection is None:
        rated = scores.rated
        if rated is None or not (rated == rated[0]).all():
            columns, fixed = np.arange(scores.n_rules), False
        else:
            columns, fixed = np.flatnonzero(rated[0]), True
        indices = np.broadcast_to(columns, (scores.n_pairs, len(columns)))
        selection, n_rules = Selection(indices, "all", scores.n_rules, fixed), scores.n_rated
    else:
        selection = selection.aligned(scores.identity)
        if (selection.n_pairs, selection.n_rules) != (scores.n_pairs, scores.n_rules):
            raise ValueError(
                f"the selection is of {selection.n_pairs} pairs and {selection.n_rules} rules; "
                f"allowed: {scores.n_pairs} and {scores.n_rules}, as the scores"
            )
        n_rules = np.full(scores.n_pairs, selection.k)
        if scores.rated is not None:
            there = np.take_along_axis(scores.rated, selection.indices, axis=1)
            if not there.all():
                row, place = np.argwhere(~there)[0]
                rule = scores.names[selection.indices[row, place]]
                raise ValueError(f"selection, row {row}: rule {rule} was not rated for this pair")
    if scores.rated is not None:
        a, b = (np.nan_to_num(x) for x in (scores.a, scores.b))
        scores = Scores(a, b, identity=scores.identity)
    return scores, selection, n_rules


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
