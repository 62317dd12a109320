"""What is believed about rules, x | Y ~ N(Yμ, Σ), and the discrepancies it is estimated from.

Scores come in, a `Reference` in standard units goes to the estimators, `Estimates` go out to
selectors and label models. An exchange of the two responses changes the sign of every δ and of Y,
so all is odd here: no intercept, and second moments about zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rulekit.inputs.identity import UNKNOWN, Identity
from rulekit.inputs.scores import NO_VOTE, Scores
from rulekit.tables import SHOWN, html_table

_LEAST = 1e-6  # eigenvalue of a second moment, in units of their mean: it can be inverted


@dataclass(frozen=True, eq=False)
class Estimates:
    """What is believed about rules: x | Y ~ N(Yμ, Σ), x = sign(δ) |δ|^power.

    Attributes
    ----------
    mu
        Mean of x given Y = +1, (n_rules,).
    cov
        Covariance of x given Y, (n_rules, n_rules), positive definite.
    n_labelled
        Pairs with a known preference that went in; 0 means agreement between rules alone.
    source
        Name of the method.
    power
        1: the discrepancy itself. ½: its square root, for judges whose small discrepancies tell
        more than their size.
    identity
        The rules that they are of.

    Raises
    ------
    ValueError
        For shapes that do not fit, values that are not finite, or a Σ not positive definite.
    """

    mu: np.ndarray  # (n_rules,)
    cov: np.ndarray  # (n_rules, n_rules)
    n_labelled: int
    source: str
    power: float = 1.0
    identity: Identity = UNKNOWN

    def __post_init__(self) -> None:
        mu, cov = np.asarray(self.mu, np.float64), np.asarray(self.cov, np.float64)
        if mu.ndim != 1 or len(mu) == 0 or cov.shape != (len(mu), len(mu)):
            raise ValueError(
                f"mu and cov have shapes {mu.shape}, {cov.shape}; allowed: (n_rules,) and "
                "(n_rules, n_rules)"
            )
        if self.identity.rule_ids is not None and len(self.identity.rule_ids) != len(mu):
            raise ValueError(f"identity: {len(self.identity.rule_ids)} rules; allowed: {len(mu)}")
        if not (np.isfinite(mu).all() and np.isfinite(cov).all() and np.allclose(cov, cov.T)):
            raise ValueError("mu and cov: allowed: finite numbers, cov symmetric")
        try:
            np.linalg.cholesky(cov)
        except np.linalg.LinAlgError:
            raise ValueError("cov is not positive definite") from None
        if not 0 < self.power <= 1:
            raise ValueError(f"power is {self.power}; allowed: above 0, at most 1")
        object.__setattr__(self, "mu", mu)
        object.__setattr__(self, "cov", cov)

    @property
    def n_rules(self) -> int:
        return len(self.mu)

    def aligned(self, identity: Identity, what: str = "estimates") -> Estimates:
        """The estimates with the rules in the order of another value.

        Parameters
        ----------
        identity
            Of that value; where it or these estimates name no rules, the order is left as it is.
        what
            How an error calls these estimates.

        Raises
        ------
        ValueError
            If these estimates are of other rules.
        """
        at = identity.columns_of(self.identity, what)
        return self if at is None else self.columns(at)

    def columns(self, index) -> Estimates:
        """The estimates of some rules, in this order: an integer index."""
        own = self.identity.columns(index)
        return replace(self, mu=self.mu[index], cov=self.cov[np.ix_(index, index)], identity=own)

    def weights(self, subset=None) -> np.ndarray:
        """Log-odds that one unit of x adds, 2 Σ_SS⁻¹ μ_S, (k,); default: of all rules together."""
        s = np.arange(self.n_rules) if subset is None else np.asarray(subset)
        return 2 * np.linalg.solve(self.cov[np.ix_(s, s)], self.mu[s])

    def transform(self, delta) -> np.ndarray:
        """x = sign(δ) |δ|^power of discrepancies, float64, same shape; where a rule has no vote, 0."""
        return transform(delta, self.power)

    def __repr__(self) -> str:
        return (
            f"Estimates({self.source}, {self.n_rules} rules, {self.n_labelled:,} labelled pairs, "
            f"power {self.power:g}, μ from {self.mu.min():.3g} to {self.mu.max():.3g})"
        )

    def _repr_html_(self) -> str:
        weights, spread = self.weights(), np.sqrt(np.diag(self.cov))
        rows = [
            (j, f"{self.mu[j]:.3f}", f"{spread[j]:.3f}", f"{weights[j]:.3f}")
            for j in np.argsort(-np.abs(weights), kind="stable")[:SHOWN]
        ]
        head = ("position of the rule", "μ", "σ", "weight")
        return html_table(f"{self!r}, by size of weight", head, rows, self.n_rules)


@dataclass(frozen=True, eq=False)
class Reference:
    """Discrepancies in standard units, as every estimator takes them.

    Attributes
    ----------
    z
        x / scale, (n_pairs, n_rules).
    scale
        Root mean square of x under each rule, (n_rules,).
    second
        E[zz'], shrunk, (n_rules, n_rules), positive definite.
    power
        Of |δ|.
    """

    z: np.ndarray
    scale: np.ndarray
    second: np.ndarray
    power: float

    @classmethod
    def of(cls, scores: Scores, power: float) -> Reference:
        """The scores' discrepancies in standard units.

        Raises
        ------
        ValueError
            If no rule ever votes.
        """
        z = transform(scores.discrepancy, power)
        scale = np.sqrt(np.einsum("ij,ij->j", z, z) / len(z))
        if not scale.any():
            raise ValueError("no rule has a discrepancy; nothing can be estimated")
        scale[scale == 0] = scale.max()  # a rule that never votes gets no weight, no division by 0
        z /= scale
        return cls(z, scale, shrunk_second_moment(z), power)

    def shortened(self, mu: np.ndarray) -> np.ndarray:
        """μ in standard units, no longer than E[zz'] can hold."""
        reach = mu @ np.linalg.solve(self.second, mu)
        return mu * min(1.0, np.sqrt(0.999 / reach)) if reach > 0 else mu

    def estimates(self, mu: np.ndarray, source: str) -> Estimates:
        """Estimates from μ in standard units, `shortened`."""
        mu = self.shortened(mu)
        cov = (self.second - np.outer(mu, mu)) * np.outer(self.scale, self.scale)
        return Estimates(mu * self.scale, (cov + cov.T) / 2, 0, source, self.power)


def transform(delta, power: float) -> np.ndarray:
    """x = sign(δ) |δ|^power, float64, same shape; where a rule has no vote, 0."""
    x = np.array(delta, dtype=np.float64)
    size = np.abs(x)
    x[size <= NO_VOTE] = 0.0
    if power == 1.0:
        return x
    return np.copysign(np.sqrt(size) if power == 0.5 else size**power, x, out=size) * (x != 0)


def shrunk_second_moment(z: np.ndarray) -> np.ndarray:
    """E[zz'] shrunk by Ledoit and Wolf, and further where it could not be inverted, (m, m).

    Rules that say the same in every pair leave nothing for Ledoit and Wolf to see: their second
    moment is singular and without sampling error. A share of 1e-6 of the identity then parts them.
    """
    from sklearn.covariance import ledoit_wolf

    second = ledoit_wolf(z, assume_centered=True)[0]
    size = np.trace(second) / len(second)
    if size == 0:
        return np.eye(len(second))
    lack = _LEAST * size - np.linalg.eigvalsh(second)[0]
    if lack > 0:
        share = lack / ((1 - _LEAST) * size + lack)
        second = (1 - share) * second + share * size * np.eye(len(second))
    return second
