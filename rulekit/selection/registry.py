"""Rule selection: scores come in, the rules to look at for each pair go out.

`select` and the registry of its methods. Per-pair selectors look at the pair's own scores; per-data-set ones pick
the same rules for every pair, so that only these have to be rated. The criteria are in
`rulekit.selection.criteria`, what they have to know about rules comes from `rulekit.estimate`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from rulekit.inputs.identity import UNKNOWN, Identity
from rulekit.inputs.scores import Scores, votes
from rulekit.kernels import selection as kernel
from rulekit.selection import criteria
from rulekit.selection.preferences import known_preference
from rulekit.selection.rule_model import Estimates
from rulekit.tables import SHOWN, evenly_spaced, html_table


@dataclass(frozen=True, eq=False)
class Selection:
    """The rules chosen for each pair.

    Attributes
    ----------
    indices
        Rule positions, int32 (n_pairs, k), best first.
    method
        Name of the selector.
    n_rules
        Size of the rule set that was selected from.
    fixed
        The same rules for every pair, chosen without looking at these pairs: the others need not
        be rated.
    identity
        The rules and pairs that it is of.

    Raises
    ------
    ValueError
        For indices that are no integers (n_pairs, k), or that are no positions of rules.
    """

    indices: np.ndarray  # (n_pairs, k)
    method: str
    n_rules: int
    fixed: bool = False
    identity: Identity = UNKNOWN

    def __post_init__(self) -> None:
        indices = np.asarray(self.indices)
        if indices.ndim != 2 or not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(
                f"indices are {indices.dtype} {indices.shape}; allowed: int (n_pairs, k)"
            )
        if indices.size and not (indices.min() >= 0 and indices.max() < self.n_rules):
            raise ValueError(f"indices are out of range; allowed: 0 to {self.n_rules - 1}")
        for name, length in (("pair_ids", len(indices)), ("rule_ids", self.n_rules)):
            if (ids := getattr(self.identity, name)) is not None and len(ids) != length:
                raise ValueError(f"identity: {len(ids)} {name}; allowed: {length}")
        object.__setattr__(self, "indices", indices)

    @property
    def k(self) -> int:
        return self.indices.shape[1]

    @property
    def n_pairs(self) -> int:
        return len(self.indices)

    def rows(self, index) -> Selection:
        """The rules of some pairs: an integer or boolean index, or a slice."""
        index = index if isinstance(index, slice) else np.asarray(index)
        return replace(self, indices=self.indices[index], identity=self.identity.rows(index))

    def aligned(self, identity: Identity, what: str = "selection") -> Selection:
        """The rules chosen for the pairs of another value, as positions among its rules.

        Parameters
        ----------
        identity
            Of that value; what it or this selection does not name is left as it is.
        what
            How an error calls this selection.

        Raises
        ------
        ValueError
            If this selection lacks one of the pairs, or is of other rules.
        """
        rows = identity.rows_of(self.identity, what)
        columns = identity.columns_of(self.identity, what)  # where the other's rules are here
        found = self if rows is None else self.rows(rows)
        if columns is None:
            return found
        place = np.argsort(columns).astype(found.indices.dtype)
        own = self.identity.columns(columns)
        return replace(
            found,
            indices=place[found.indices],
            identity=own.rows(slice(None) if rows is None else rows),
        )

    def mask(self) -> np.ndarray:
        """Multi-label target: bool (n_pairs, n_rules), True where a rule was chosen."""
        chosen = np.zeros((len(self.indices), self.n_rules), dtype=bool)
        np.put_along_axis(chosen, self.indices, True, axis=1)
        return chosen

    def __repr__(self) -> str:
        same = ", the same for all" if self.fixed else ""
        return (
            f"Selection({self.method}, {self.k} of {self.n_rules} rules for "
            f"{len(self.indices):,} pairs{same})"
        )

    def _repr_html_(self) -> str:
        seen = self.indices[evenly_spaced(len(self.indices))]
        chosen = np.bincount(seen.ravel(), minlength=self.n_rules)
        first = np.bincount(seen[:, :1].ravel(), minlength=self.n_rules)
        n = max(len(seen), 1)
        rows = [
            (j, f"{chosen[j] / n:.1%}", f"{first[j] / n:.1%}")
            for j in np.argsort(-chosen, kind="stable")[:SHOWN]
        ]
        of = "" if len(seen) == len(self.indices) else f" of {len(seen):,} pairs"
        head = ("position of the rule", f"chosen{of}", "chosen first")
        return html_table(repr(self), head, rows, self.n_rules)


def select(
    scores: Scores,
    k: int = 5,
    method: str = "max_discrepancy",
    *,
    seed: int = 0,
    reference: Scores | None = None,
    preference: np.ndarray | pl.DataFrame | None = None,
    estimates: Estimates | None = None,
) -> Selection:
    """Choose k rules for each pair.

    Parameters
    ----------
    scores
        Scores of n_pairs pairs under n_rules rules, every one of them rated.
    k
        Rules per pair, 1 to n_rules; `all` takes every rule whatever k is, `greedy_cmi` at most k.
    method
        One of `selectors()`.
    seed
        Of `random`, and of the order in which named rules that tie are taken: for each pair its
        own where a method looks at each pair's sizes alone, else one for all pairs.
    reference, preference
        For `static`, `mrmr`, `jmi`, `cmim`, `greedy_cmi`: other pairs, (n_reference, n_rules), and
        the known preference of each (+1, -1; 0 and null are left out), or their canonical frame,
        to choose the rules by. Their rules are put in the order of the scores' by id. Choosing by
        the pairs that are then labelled would overstate the result. `frugal` and, without a
        preference, `static` look at the size of the reference's discrepancies.
    estimates
        For `log_odds`, `whitened`, `adaptive`, `discriminant` and `frugal`: what `rulekit.estimate` made of
        a few labelled pairs, or of none. `diverse` and `dpp` take the rules' correlations from
        it, and without it from the pairs themselves.

    Returns
    -------
    Selection with indices int32 (n_pairs, k), best first. Criteria are compared in whole steps of
    1e-6; those in the same step are tied. Where pairs and rules have ids, ties go by chance, drawn
    from the seed and the ids: no rule gains by its place in the set, and another order of rules or
    pairs changes nothing. Without ids the rule that comes first is taken.

    Raises
    ------
    ValueError
        For an unknown method, a k out of range, a method that needs what was not given, or a
        reference or estimates of other rules.

    Notes
    -----
    `notebooks/METHODS.md` has the formula of every method, what it needs, and its references. Where
    estimates are at hand take ``adaptive``, and where only k rules can be rated ``frugal``.
    """
    if method not in _SELECTORS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(selectors())}")
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= scores.n_rules:
        if method != "all":
            raise ValueError(f"k is {k!r}; allowed: 1 to {scores.n_rules}, the number of rules")
        k = scores.n_rules
    alone = reference is not None and preference is None and method in ("frugal", "static")
    if (reference is None) != (preference is None) and not alone:
        raise ValueError(f"method {method!r}: give both reference and preference, or neither")
    scores.whole()
    identity = scores.identity
    if reference is not None:
        preference = None if preference is None else known_preference(preference, reference)
        reference = reference.whole("reference").aligned(scores.identity.rules, "reference")
    if estimates is not None:
        estimates = estimates.aligned(scores.identity)
    for name, other in (("reference", reference), ("estimates", estimates)):
        if other is not None and other.n_rules != scores.n_rules:
            raise ValueError(
                f"{name}: {other.n_rules} rules; allowed: {scores.n_rules}, as the scores"
            )
    order = np.arange(scores.n_rules)
    if method not in _BY_KERNEL and identity.rule_ids is not None:
        order = np.argsort(np.array(identity.rule_ids))  # whatever order they are listed in
        order = order[np.random.default_rng(seed).permutation(len(order))]
        scores, reference, estimates = (
            None if x is None else x.columns(order) for x in (scores, reference, estimates)
        )
    given = _Given(scores, int(k), seed, reference, preference, estimates, method)
    indices = order[np.asarray(_SELECTORS[method](given))].astype(np.int32)
    same = indices.ndim == 1
    if same:
        indices = np.broadcast_to(indices, (scores.n_pairs, len(indices)))
    unseen = method != "static" or reference is not None
    return Selection(indices, method, scores.n_rules, same and unseen, identity)


def selectors() -> list[str]:
    """The names that `select` takes as its method."""
    return sorted(_SELECTORS)


@dataclass(frozen=True, eq=False)
class _Given:
    """What a selector may look at; what is missing is refused by the method's name."""

    scores: Scores
    k: int
    seed: int
    reference: Scores | None
    preference: np.ndarray | None
    estimates: Estimates | None
    method: str

    def believed(self) -> Estimates:
        if self.estimates is None:
            raise ValueError(
                f"method {self.method!r} needs estimates: rulekit.estimate(reference, preference), "
                "or rulekit.estimate(scores) where no preference is known"
            )
        return self.estimates

    def evidence(self, weights: np.ndarray) -> np.ndarray:
        """Signed evidence of each rule for the first response, (n_pairs, n_rules)."""
        return self.believed().transform(self.scores.discrepancy) * weights

    def votes(self) -> tuple[np.ndarray, np.ndarray]:
        """Votes -1, 0, +1 of the labelled reference pairs and their preference."""
        if self.reference is None:
            raise ValueError(f"method {self.method!r} needs reference and preference")
        y = self.preference
        if not y.any():
            raise ValueError(f"method {self.method!r}: no preference of the reference is known")
        return votes(self.reference.discrepancy[y != 0]), y[y != 0]

    def correlation(self) -> np.ndarray:
        """Correlations of the rules' discrepancies, (n_rules, n_rules)."""
        if self.estimates is not None:
            second = self.estimates.cov + np.outer(self.estimates.mu, self.estimates.mu)
        else:
            delta = self.scores.discrepancy.astype(np.float64)
            second = delta.T @ delta
        return criteria.correlation(second)

    def top(self, mode: int, needs_relevance: bool = False) -> np.ndarray:
        if needs_relevance and self.scores.relevance is None:
            raise ValueError(f"method {self.method!r} needs scores with a relevance")
        s = self.scores
        arrays = (mode, s.a, s.b, s.relevance)
        if mode == kernel.RANDOM:
            return kernel.top_k(*arrays, self.k, self.seed, names=s.identity.names())
        indices = kernel.top_k(*arrays, self.k)
        if s.identity.pair_ids is None or s.identity.rule_ids is None:
            return indices
        rows = np.flatnonzero(kernel.tied(*arrays, indices))
        if len(rows):
            some = (None if x is None else x[rows] for x in arrays[1:])
            names = s.identity.rows(rows).names()
            indices[rows] = kernel.top_k(mode, *some, self.k, self.seed, names=names)
        return indices


def _log_odds(g: _Given) -> np.ndarray:
    e = g.believed()
    return criteria.largest(np.abs(g.evidence(e.mu / np.diag(e.cov))), g.k)


def _whitened(g: _Given) -> np.ndarray:
    return criteria.largest(np.abs(g.evidence(g.believed().weights())), g.k)


def _adaptive(g: _Given) -> np.ndarray:
    evidence = g.evidence(g.believed().weights())
    side = np.where(evidence.sum(axis=1) < 0, -1.0, 1.0)
    return criteria.largest(evidence * side[:, None], g.k)


def _static(g: _Given) -> np.ndarray:
    if g.preference is None:
        seen = g.scores if g.reference is None else g.reference
        quality = np.abs(seen.discrepancy).mean(axis=0, dtype=np.float64)
        return criteria.largest(quality[None], g.k)[0]
    return criteria.greedy_information(*g.votes(), g.k, "static")


def _greedy(g: _Given) -> np.ndarray:
    return criteria.greedy_information(*g.votes(), g.k, g.method)


def _frugal(g: _Given) -> np.ndarray:
    e = g.believed()
    if e.n_labelled:
        return criteria.discriminant(e.mu, e.cov, g.k)
    if g.reference is None:
        raise ValueError("method 'frugal' without labels needs a reference; no preference")
    size = np.abs(e.transform(g.reference.discrepancy)).mean(axis=0)
    return criteria.largest((np.abs(e.mu) * size / np.diag(e.cov))[None], g.k)[0]


_SELECTORS: dict[str, Callable[[_Given], np.ndarray]] = {
    "adaptive": _adaptive,
    "all": lambda g: np.arange(g.scores.n_rules),
    "cmim": _greedy,
    "discriminant": lambda g: criteria.discriminant(g.believed().mu, g.believed().cov, g.k),
    "diverse": lambda g: criteria.diverse(np.abs(g.scores.discrepancy), g.correlation(), g.k),
    "dpp": lambda g: criteria.determinantal(np.abs(g.scores.discrepancy), g.correlation(), g.k),
    "frugal": _frugal,
    "greedy_cmi": lambda g: criteria.greedy_conditional(*g.votes(), g.k),
    "jmi": _greedy,
    "log_odds": _log_odds,
    "lowest_discrepancy": lambda g: g.top(kernel.LOWEST_DISCREPANCY),
    "max_discrepancy": lambda g: g.top(kernel.DISCREPANCY),
    "mrmr": _greedy,
    "random": lambda g: g.top(kernel.RANDOM),
    "relevance": lambda g: g.top(kernel.RELEVANCE, needs_relevance=True),
    "relevance_discrepancy": lambda g: g.top(kernel.RELEVANCE_DISCREPANCY, needs_relevance=True),
    "static": _static,
    "whitened": _whitened,
}
_BY_KERNEL = (
    "all",
    "lowest_discrepancy",
    "max_discrepancy",
    "random",
    "relevance",
    "relevance_discrepancy",
)
