"""Which rules to trust: scores of pairs and a few preferences (or none) come in, μ and Σ go out.

Selectors and label models read the `Estimates`. Without a preference they rest on the agreement
between rules alone. An exchange of the two responses changes the sign of every δ and of Y, so all
models here are odd: no intercept, and second moments about zero.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from rulekit.inputs.scores import Scores, votes
from rulekit.tables import SHOWN, html_table

_POWERS = (1.0, 0.5)  # of |δ| that labelled pairs choose between
_SCALES = (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # of the label-free weights in the prior
_VARIANCES = 10.0 ** np.arange(-3, 1.1, 0.5)  # of the weights around them, summed over rules


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

    def __post_init__(self) -> None:
        mu, cov = np.asarray(self.mu, np.float64), np.asarray(self.cov, np.float64)
        if mu.ndim != 1 or len(mu) == 0 or cov.shape != (len(mu), len(mu)):
            raise ValueError(
                f"mu and cov have shapes {mu.shape}, {cov.shape}; allowed: (n_rules,) and "
                "(n_rules, n_rules)"
            )
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

    def weights(self, subset=None) -> np.ndarray:
        """Log-odds that one unit of x adds, 2 Σ_SS⁻¹ μ_S, (k,); default: of all rules together."""
        s = np.arange(self.n_rules) if subset is None else np.asarray(subset)
        return 2 * np.linalg.solve(self.cov[np.ix_(s, s)], self.mu[s])

    def transform(self, delta) -> np.ndarray:
        """x = sign(δ) |δ|^power of discrepancies, float64, same shape; where a rule has no vote, 0."""
        return _transform(delta, self.power)

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


def estimate(
    reference: Scores, preference=None, method: str = "auto", *, power: float | None = None
) -> Estimates:
    """Estimate mean and covariance of the rules' discrepancies, with or without preferences.

    Parameters
    ----------
    reference
        Scores of n_pairs pairs, labelled and not: the more unlabelled pairs, the better Σ.
    preference
        +1, -1, or 0 where it is not known, (n_pairs,); None: none is known.
    method
        One of `estimators()`. ``auto`` without labels is ``mixture``, or ``principal`` where the
        mixture is refuted; with labels it is ``bradley_terry``.
    power
        Of |δ|, in (0, 1]; default 1, and with labels the one of 1 and ½ that ``bradley_terry``
        finds more likely.

    Returns
    -------
    Estimates; where no label can tell, rules are taken to be right in sum more often than wrong.

    Raises
    ------
    ValueError
        For an unknown method, a preference of another shape or with other values, labels missing
        where the method needs them, or no rule that ever votes.

    Notes
    -----
    `notebooks/METHODS.md` has the formula of every method, what it needs, and its references. Given
    μ, every method takes Σ = E[xx'] - μμ', the second moment shrunk.
    """
    if method != "auto" and method not in _ESTIMATORS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(estimators())}")
    y = known_preference(preference, reference.n_pairs)
    if reference.n_pairs < 2:
        raise ValueError(f"reference has {reference.n_pairs} pairs; allowed: 2 or more")
    if power is not None and not 0 < power <= 1:
        raise ValueError(f"power is {power}; allowed: above 0, at most 1, or None")
    labelled = int((y != 0).sum())
    if method in _NEED_LABELS and not labelled:
        raise ValueError(f"method {method!r} needs pairs with a known preference")
    if method == "auto":
        method = "bradley_terry" if labelled else _label_free_method(reference, power or 1.0)
    if method == "bradley_terry" and power is None:
        fits = [_bradley_terry(reference, y, p) for p in _POWERS]
        found = max(fits, key=lambda fit: fit[1])[0]
    else:
        found = _ESTIMATORS[method](reference, y, power or 1.0)
    return replace(found, n_labelled=labelled)


def estimators() -> list[str]:
    """The names that `estimate` takes as its method."""
    return sorted([*_ESTIMATORS, "auto"])


def known_preference(preference, n_pairs: int) -> np.ndarray:
    """Preferences as float64 -1, 0 (not known) and +1, (n_pairs,); None: none is known.

    Raises
    ------
    ValueError
        For another shape or other values.
    """
    if preference is None:
        return np.zeros(n_pairs)
    y = np.asarray(preference, dtype=np.float64)
    if y.shape != (n_pairs,):
        raise ValueError(f"preference has shape {y.shape}; allowed: {(n_pairs,)}")
    if not np.isin(y, (-1, 0, 1)).all():
        raise ValueError("preference holds other values than -1, 0 (not known) and +1")
    return y


def dawid_skene_posterior(votes) -> np.ndarray:
    """P(Y = +1) of each pair from agreement between votes, strictly inside (0, 1), (n_pairs,).

    Parameters
    ----------
    votes
        -1, 0 (abstention) or +1, (n_pairs, n_rules).

    Returns
    -------
    The posterior of crowd-kit's `DawidSkene` after 50 iterations, clipped to [1e-9, 1 - 1e-9];
    ½ where no rule votes. Each pair goes in twice, the second time with its responses exchanged,
    so that which came first does not matter. Of the two mirror images of the solution, the one
    that the majority agrees with.

    References
    ----------
    A. Dawid, A. Skene, Applied Statistics 28 (1979); D. Ustalov, N. Pavlichenko, B. Tseitlin,
    "Learning from crowds with Crowd-Kit", JOSS 9 (2024).
    """
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    votes = np.asarray(votes)
    n = len(votes)
    both = np.concatenate([votes, -votes])
    task, worker = np.nonzero(both)
    q = np.full(2 * n, 0.5)
    if len(task):
        table = {"task": task, "worker": worker, "label": both[task, worker].astype(int)}
        with warnings.catch_warnings():  # crowd-kit 1.4 uses what pandas 4 will drop
            warnings.simplefilter("ignore", DeprecationWarning)
            found = DawidSkene(n_iter=50).fit(pd.DataFrame(table)).probas_
        q[found.index.to_numpy()] = found[1].to_numpy()
    q = (q[:n] + 1 - q[n:]) / 2
    if (2 * q - 1) @ votes.sum(axis=1) < 0:
        q = 1 - q
    return np.clip(q, 1e-9, 1 - 1e-9)


def _transform(delta, power: float) -> np.ndarray:
    x = np.asarray(delta, dtype=np.float64)
    vote = votes(x)
    return np.where(vote == 0, 0.0, x) if power == 1.0 else vote * np.abs(x) ** power


def _prepared(reference: Scores, power: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z = x / rms, (n_pairs, n_rules), the rms of each rule, and the shrunk E[zz']."""
    from sklearn.covariance import ledoit_wolf

    x = _transform(reference.discrepancy, power)
    scale = np.sqrt((x**2).mean(axis=0))
    if not scale.any():
        raise ValueError("no rule has a discrepancy; nothing can be estimated")
    scale[scale == 0] = scale.max()  # a rule that never votes gets no weight, and no division by 0
    z = x / scale
    second = ledoit_wolf(z, assume_centered=True)[0]
    return z, scale, second


def _estimates(mu, second, scale, source: str, power: float) -> Estimates:
    """Estimates from μ and E[zz'] in standard units; a μ too long for it is shortened."""
    reach = mu @ np.linalg.solve(second, mu)
    mu = mu * min(1.0, np.sqrt(0.999 / reach)) if reach > 0 else mu
    cov = (second - np.outer(mu, mu)) * np.outer(scale, scale)
    return Estimates(mu * scale, (cov + cov.T) / 2, 0, source, power)


def _oriented(mu: np.ndarray, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """μ or -μ: the one that labelled pairs, or without them the sum of all rules, agree with."""
    side = y @ np.sign(z @ mu) if y.any() else 0.0
    if side == 0:
        side = (z @ mu) @ z.sum(axis=1)
    return mu if side >= 0 else -mu


def _principal(reference: Scores, y: np.ndarray, power: float) -> Estimates:
    z, scale, second = _prepared(reference, power)
    values, vectors = np.linalg.eigh(second)
    signal = values[-1] - values[:-1].mean() if len(values) > 1 else values[-1] / 2
    mu = _oriented(vectors[:, -1] * np.sqrt(max(signal, 0.0)), z, y)
    return _estimates(mu, second, scale, "principal", power)


def _triplet(reference: Scores, y: np.ndarray, power: float) -> Estimates:
    z, scale, second = _prepared(reference, power)
    m = len(second)
    if m < 3:
        raise ValueError(f"method 'triplet' needs 3 rules or more; there are {m}")
    # The largest of m² / 2 correlations that are nothing but noise: a smaller one cannot stand in
    # a denominator.
    noise = 2 * np.sqrt(np.log(m) / len(z))
    usable = np.abs(second) > noise
    np.fill_diagonal(usable, False)
    size = np.zeros(m)
    for i in range(m):
        ratio = np.abs(np.outer(second[i], second[i]) / np.where(usable, second, 1.0))
        pairs = np.triu(usable)
        pairs[i] = pairs[:, i] = False
        if pairs.any():
            size[i] = np.sqrt(np.median(ratio[pairs]))
    mu = np.minimum(size, 1.0) * np.sign(np.linalg.eigh(second)[1][:, -1])
    return _estimates(_oriented(mu, z, y), second, scale, "triplet", power)


def _dawid_skene(reference: Scores, y: np.ndarray, power: float) -> Estimates:
    z, scale, second = _prepared(reference, power)
    q = dawid_skene_posterior(np.sign(z))
    t = np.where(y != 0, y, 2 * q - 1)
    return _estimates(_oriented(z.T @ t / len(z), z, y), second, scale, "dawid_skene", power)


def _mixture(reference: Scores, y: np.ndarray, power: float) -> Estimates:
    z, scale, second = _prepared(reference, power)
    start = int(np.argmin(_mixture_kurtosis(z, y)))
    mu = _mixture_mean(z @ _mixture_starts(second)[start], z, y, second)
    return _estimates(_oriented(mu, z, y), second, scale, "mixture", power)


def _mixture_kurtosis(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Excess kurtosis of the projection found from each start, (2,): negative where it has two humps.

    Half of the pairs fits, the other half judges: in many rules EM finds humps by chance.
    """
    from sklearn.covariance import ledoit_wolf

    found = np.zeros((2, 2))
    for fold in (0, 1) if len(z) >= 4 else ():
        fit, judge = slice(fold, None, 2), slice(1 - fold, None, 2)
        second = ledoit_wolf(z[fit], assume_centered=True)[0]
        for i, w in enumerate(_mixture_starts(second)):
            mu = _mixture_mean(z[fit] @ w, z[fit], y[fit], second)
            score = z[judge] @ np.linalg.solve(second, mu)
            variance = (score**2).mean()
            found[fold, i] = (score**4).mean() / variance**2 - 3 if variance > 0 else 0.0
    return found.mean(axis=0)


def _mixture_starts(second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights if all rules had the same mean: were they independent, and correlated as they are."""
    m = len(second)
    return np.full(m, 2 / m), np.linalg.solve(second, np.full(m, 0.5))


def _mixture_mean(log_odds: np.ndarray, z: np.ndarray, y: np.ndarray, second) -> np.ndarray:
    """μ by EM, from first half log-odds of the pairs, (n_pairs,)."""
    inverse, t = np.linalg.inv(second), np.tanh(log_odds)
    for _ in range(300):
        t = np.where(y != 0, y, t)
        mu = z.T @ t / len(z)
        w = inverse @ mu
        w /= max(1 - mu @ w, 1e-3)  # (S - μμ')⁻¹ μ
        before, t = t, np.tanh(z @ w)
        if np.abs(np.where(y != 0, 0.0, t - before)).max() < 1e-4:
            break
    return mu


def _label_free_method(reference: Scores, power: float) -> str:
    """`mixture`, or `principal` where the projection of unseen pairs has no two humps."""
    z = _prepared(reference, power)[0]
    return "mixture" if _mixture_kurtosis(z, np.zeros(len(z))).min() < 0 else "principal"


def _moments(reference: Scores, y: np.ndarray, power: float) -> Estimates:
    z, scale, second = _prepared(reference, power)
    known = y != 0
    n = int(known.sum())
    mean = y[known] @ z[known] / n
    prior = _ESTIMATORS[_label_free_method(reference, power)](reference, y * 0, power).mu / scale
    length = prior @ prior
    centre = prior * (mean @ prior / length if length > 0 else 0.0)
    noise = np.maximum(1 - mean**2, 0.05) / n
    spread = max(0.0, ((mean - centre) ** 2 - noise).mean())
    mu = centre + (mean - centre) * spread / (spread + noise)
    return _estimates(mu, second, scale, "moments", power)


def _bradley_terry(reference: Scores, y: np.ndarray, power: float) -> tuple[Estimates, float]:
    """Estimates, and the log marginal likelihood of the labels."""
    z, scale, second = _prepared(reference, power)
    known = y != 0
    right = z[known] * y[known, None]  # w'right > 0: the label is right
    method = _label_free_method(reference, power)
    prior = _ESTIMATORS[method](reference, y * 0, power).weights() * scale
    size = np.sqrt(prior @ second @ prior)
    prior = prior / size if size > 0 else prior
    fits = [
        _penalised_logistic(right, c * prior, v / len(prior)) for c in _SCALES for v in _VARIANCES
    ]
    evidence = np.array([e for _, e in fits])
    share = np.exp(evidence - evidence.max())
    w = (share / share.sum()) @ np.array([w for w, _ in fits])
    # log-odds w = 2Σ⁻¹μ and Σ = S - μμ' give μ = Sv / (1 + q), v = w/2, q (1 + q) = v'Sv.
    v = w / 2
    q = (np.sqrt(1 + 4 * v @ second @ v) - 1) / 2
    found = _estimates(second @ v / (1 + q), second, scale, "bradley_terry", power)
    return found, float(evidence.max() + np.log(share.mean()))


def _penalised_logistic(
    right: np.ndarray, centre: np.ndarray, variance: float
) -> tuple[np.ndarray, float]:
    """Weights maximising Σ log σ(right w) - |w - centre|²/2v by Newton, and Laplace's evidence."""
    w, eye = centre.copy(), np.eye(len(centre)) / variance

    def loss(w: np.ndarray) -> float:
        return np.logaddexp(0, -right @ w).sum() + ((w - centre) ** 2).sum() / (2 * variance)

    value = loss(w)
    for _ in range(50):
        p = expit(right @ w)
        hessian = (right * (p * (1 - p))[:, None]).T @ right + eye
        step = np.linalg.solve(hessian, -right.T @ (1 - p) + (w - centre) / variance)
        while (new := loss(w - step)) > value + 1e-10 and np.abs(step).max() > 1e-9:
            step = step / 2
        w, change, value = w - step, value - new, new
        if abs(change) < 1e-7:
            break
    p = expit(right @ w)
    hessian = (right * (p * (1 - p))[:, None]).T @ right + eye
    return w, -value - np.linalg.slogdet(hessian * variance)[1] / 2


_ESTIMATORS: dict[str, Callable[[Scores, np.ndarray, float], Estimates]] = {
    "bradley_terry": lambda reference, y, power: _bradley_terry(reference, y, power)[0],
    "dawid_skene": _dawid_skene,
    "mixture": _mixture,
    "moments": _moments,
    "principal": _principal,
    "triplet": _triplet,
}
_NEED_LABELS = ("bradley_terry", "moments")
