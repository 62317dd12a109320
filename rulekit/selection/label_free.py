"""What rules are worth, told from their agreement alone: principal component, triplets, votes, mixture.

A `Reference` comes in, with preferences that are held fixed where they are known; μ in standard
units goes out. `estimates` has the registry, `orientation` says which of μ and -μ is meant.
"""

from __future__ import annotations

import numpy as np

from rulekit.selection.dawid_skene import dawid_skene_posterior
from rulekit.selection.orientation import side
from rulekit.selection.rule_model import Reference, shrunk_second_moment

_JUDGED = 20_000  # pairs, evenly spaced, that are enough to see whether there are two humps


def label_free_mean(reference: Reference) -> tuple[np.ndarray, str]:
    """μ without a label, (n_rules,), and its method: the mixture, or the principal component.

    The latter where the projection of unseen pairs has no two humps.
    """
    unknown = np.zeros(len(reference.z))
    kurtosis = mixture_kurtosis(reference.z)
    if kurtosis.min() < 0:
        return _mixture_from(reference, unknown, int(kurtosis.argmin())), "mixture"
    return principal(reference, unknown), "principal"


def principal(reference: Reference, y: np.ndarray) -> np.ndarray:
    """The first principal component, as long as its variance exceeds the others' mean."""
    values, vectors = np.linalg.eigh(reference.second)
    signal = values[-1] - values[:-1].mean() if len(values) > 1 else values[-1] / 2
    mu = vectors[:, -1] * np.sqrt(max(signal, 0.0))
    return side(mu, reference, y) * mu


def triplet(reference: Reference, y: np.ndarray) -> np.ndarray:
    """|μ_i| = √(S_ij S_ik / S_jk), the median over j and k.

    Raises
    ------
    ValueError
        For fewer than three rules.
    """
    second, m = reference.second, len(reference.second)
    if m < 3:
        raise ValueError(f"method 'triplet' needs 3 rules or more; there are {m}")
    # The largest of m² / 2 correlations that are nothing but noise: a smaller one cannot stand in
    # a denominator.
    noise = 2 * np.sqrt(np.log(m) / len(reference.z))
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
    return side(mu, reference, y) * mu


def dawid_skene(reference: Reference, y: np.ndarray) -> np.ndarray:
    """Mean of z times Y, or times 2 P(Y = +1) - 1 by the votes where Y is not known.

    Raises
    ------
    ValueError
        If agreement between votes cannot tell how often a rule is right, as with fewer than three.
    """
    z = reference.z
    lean = 2 * dawid_skene_posterior(np.sign(z)) - 1
    lean *= side(z.T @ lean, reference, y)
    return z.T @ np.where(y != 0, y, lean) / len(z)


def mixture(reference: Reference, y: np.ndarray) -> np.ndarray:
    """μ of ½N(μ, Σ) + ½N(-μ, Σ) with a free Σ, from the start that shows the clearer humps."""
    return _mixture_from(reference, y, int(np.argmin(mixture_kurtosis(reference.z))))


def mixture_kurtosis(z: np.ndarray) -> np.ndarray:
    """Excess kurtosis of the projection found from each start, (2,): negative where it has two humps.

    Half of the pairs fits, the other half judges: in many rules EM finds humps by chance.
    """
    z = z[:: max(1, len(z) // _JUDGED)]
    found = np.zeros((2, 2))
    for fold in (0, 1) if len(z) >= 4 else ():
        fit, judge = slice(fold, None, 2), slice(1 - fold, None, 2)
        second = shrunk_second_moment(z[fit])
        for i, w in enumerate(mixture_starts(second)):
            mu = _mixture_mean(z[fit] @ w, z[fit], np.zeros(len(z[fit])), second)
            score = z[judge] @ np.linalg.solve(second, mu)
            variance = (score**2).mean()
            found[fold, i] = (score**4).mean() / variance**2 - 3 if variance > 0 else 0.0
    return found.mean(axis=0)


def mixture_starts(second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights if all rules had the same mean: were they independent, and correlated as they are."""
    m = len(second)
    return np.full(m, 2 / m), np.linalg.solve(second, np.full(m, 0.5))


def _mixture_from(reference: Reference, y: np.ndarray, start: int) -> np.ndarray:
    """μ from one start, turned to its side before labels are held fixed, which may not turn it back."""
    z, second = reference.z, reference.second
    log_odds = z @ mixture_starts(second)[start]
    mu = _mixture_mean(log_odds, z, np.zeros(len(z)), second)
    turn = side(mu, reference, y)
    if y.any():
        held = _mixture_mean(turn * log_odds, z, y, second)
        if turn * held @ np.linalg.solve(second, mu) > 0:
            return held
    return turn * mu


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
