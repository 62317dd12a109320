"""What rules are worth, told from labelled pairs and from the rules' agreement: `moments`, `bradley_terry`.

A `Reference` and preferences come in, μ in standard units goes out; `estimates` has the registry.
Both start from what agreement alone tells, `label_free.label_free_mean`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from rulekit.selection.label_free import label_free_mean
from rulekit.selection.logistic import penalised_logistics
from rulekit.selection.orientation import RIGHT_IN_SUM, side
from rulekit.selection.rule_model import Reference

_SCALES = np.array([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0])  # of the label-free weights in the prior
_CHANCES = np.where(_SCALES < 0, (_SCALES > 0).sum() / RIGHT_IN_SUM, 1.0)  # before a label is seen
_VARIANCES = 10.0 ** np.arange(-3, 1.1, 0.5)  # of the weights around them, summed over rules


def moments(reference: Reference, y: np.ndarray) -> np.ndarray:
    """The mean of z Y over labelled pairs, drawn towards the label-free mean.

    Notes
    -----
    The mean is c times the label-free one and a rest. c is its posterior mean, flat where it has the
    sign that `orientation.side` finds the more probable; the rest is shrunk by empirical Bayes.
    """
    z, known = reference.z, y != 0
    n = int(known.sum())
    mean = y[known] @ z[known] / n
    prior = reference.shortened(label_free_mean(reference)[0])
    length = prior @ prior
    if length > 0:
        turn = side(prior, reference, y)
        c = turn * (mean @ prior) / length
        error = np.sqrt(prior @ reference.second @ prior / n) / length
        rest = mean - turn * c * prior
        # E[c | c > 0] of a normal law; far below zero the ratio of density and tail is -c / error.
        centre = turn * max(c + error * np.exp(norm.logpdf(c / error) - norm.logcdf(c / error)), 0)
        centre = centre * prior
    else:
        centre, rest = prior, mean
    noise = np.maximum(1 - mean**2, 0.05) / n
    spread = max(0.0, (rest**2 - noise).mean())
    return centre + rest * spread / (spread + noise)


@dataclass(frozen=True, eq=False)
class WeightFits:
    """What labels say about the weights of rules: a mixture over priors, each fitted.

    Attributes
    ----------
    weights
        The most likely weights under each prior, in standard units, (n_fits, n_rules).
    share
        Posterior probability of each prior, (n_fits,).
    variances
        Prior variance of each weight, (n_fits,).
    right
        z times Y of the labelled pairs, (n, n_rules).
    log_evidence
        Log marginal likelihood of the labels.
    """

    weights: np.ndarray
    share: np.ndarray
    variances: np.ndarray
    right: np.ndarray
    log_evidence: float

    @property
    def mean(self) -> np.ndarray:
        """Mean of the weights, (n_rules,)."""
        return self.share @ self.weights

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Weights drawn from the posterior, normal about each fit by Laplace, (n, n_rules)."""
        counts, found = rng.multinomial(n, self.share), []
        for w, v, count in zip(self.weights, self.variances, counts, strict=True):
            if count:
                p = expit(self.right @ w)
                curve = (self.right * (p * (1 - p))[:, None]).T @ self.right
                root = np.linalg.cholesky(curve + np.eye(len(w)) / v)
                found.append(w + np.linalg.solve(root.T, rng.standard_normal((len(w), count))).T)
        return np.concatenate(found)


def label_free_weights(reference: Reference) -> np.ndarray:
    """Weights that agreement between rules tells, (n_rules,), of unit size: E[(w'z)²] = 1."""
    mu, source = label_free_mean(reference)
    prior = reference.estimates(mu, source).weights() * reference.scale
    size = np.sqrt(prior @ reference.second @ prior)
    return prior / size if size > 0 else prior


def fit_weights(right: np.ndarray, prior: np.ndarray) -> WeightFits:
    """The weights fitted to labelled pairs under every prior N(c w₀, τ²I), a `WeightFits`.

    Parameters
    ----------
    right
        z times Y of the labelled pairs, (n, n_rules); without a pair the priors come back.
    prior
        w₀, the label-free weights of unit size, (n_rules,).
    """
    scales, variances = (g.ravel() for g in np.meshgrid(_SCALES, _VARIANCES, indexing="ij"))
    centres, variances = scales[:, None] * prior, variances / len(prior)
    if len(right):
        w, evidence = penalised_logistics(right, centres, variances)
    else:
        w, evidence = centres, np.zeros(len(centres))
    evidence = evidence + np.log(_CHANCES / _CHANCES.mean()).repeat(len(_VARIANCES))
    share = np.exp(evidence - evidence.max())
    total = float(evidence.max() + np.log(share.mean()))
    return WeightFits(w, share / share.sum(), variances, right, total)


def bradley_terry(reference: Reference, y: np.ndarray) -> tuple[np.ndarray, float]:
    """μ of the weights w that labelled pairs imply, and the log marginal likelihood of the labels.

    Notes
    -----
    w is averaged over its priors N(c w₀, τ²I), w₀ the label-free weights of unit size; before any
    label a positive c is 20 times as probable as a negative one.
    """
    second, known = reference.second, y != 0
    right = reference.z[known] * y[known, None]  # w'right > 0: the label is right
    fits = fit_weights(right, label_free_weights(reference))
    # log-odds w = 2Σ⁻¹μ and Σ = S - μμ' give μ = Sv / (1 + q), v = w/2, q (1 + q) = v'Sv.
    v = fits.mean / 2
    q = (np.sqrt(1 + 4 * v @ second @ v) - 1) / 2
    return second @ v / (1 + q), fits.log_evidence
