"""A world of rules by seven numbers, and pairs of it: numbers come in, means, noise and pairs go out.

`simulation` has five named worlds; here every number can be moved, and the random numbers stay the
same while it moves, so that two worlds differ by what was changed and by nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from rulekit.inputs.scores import Scores
from rulekit.theory.simulation import Simulation

ASSUMPTIONS = {  # of the maximum-discrepancy theorem
    "A1": "independence",
    "A2": "symmetric channels",
    "A3": "one non-decreasing link",
    "A4": "choice by size",
}
LEAST, MOST = 0.505, 0.99  # accuracies of rules, reversed ones apart
_SAME = 1e-9  # links that differ by less, relatively, are one


@dataclass(frozen=True)
class World:
    """What rules are like.

    Attributes
    ----------
    accuracy, spread
        Mean and standard deviation of the accuracies P(vote = Y), in (0.5, 1) and from 0; each is
        kept within 0.505 and 0.99. Without noise and loudness a louder rule is the better one.
    correlation
        Of the noise of any two rules, 0 to below 1.
    noise
        Of the ratings themselves, as a multiple of the rules' typical standard deviation, from 0.
        It comes on top, so that rules then vote less accurately.
    loudness
        Standard deviation of the logarithm of a factor on each rule's discrepancy, from 0: it
        changes how loud a rule is and not how often it is right.
    n_reversed
        Rules that point the wrong way: as often wrong as they would be right; 0 to n_rules.
    n_rules
        1 to 200.

    Raises
    ------
    ValueError
        For a value out of its range.
    """

    accuracy: float = 0.62
    spread: float = 0.04
    correlation: float = 0.0
    noise: float = 0.0
    loudness: float = 0.0
    n_reversed: int = 0
    n_rules: int = 20

    def __post_init__(self) -> None:
        for name, good, allowed in (
            ("accuracy", 0.5 < self.accuracy < 1, "above 0.5, below 1"),
            ("spread", 0 <= self.spread <= 0.5, "0 to 0.5"),
            ("correlation", 0 <= self.correlation < 1, "0 to below 1"),
            ("noise", 0 <= self.noise <= 100, "0 to 100"),
            ("loudness", 0 <= self.loudness <= 3, "0 to 3"),
            ("n_rules", self.n_rules in range(1, 201), "1 to 200"),
            ("n_reversed", self.n_reversed in range(self.n_rules + 1), "0 to n_rules"),
        ):
            if not good:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {allowed}")


def world_moments(world: World, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of each rule's δ, its own noise and its share of a common noise.

    Parameters
    ----------
    world
        The numbers.
    seed
        Which rule is how accurate and how loud, and which are reversed.

    Returns
    -------
    mu, spread, shared, (n_rules,) each: δ = Yμ + spread · ε_j + shared · ε, as
    `rulekit.theory.simulation.regime` has them.

    Notes
    -----
    With z_j = Φ⁻¹(p_j), rule j has σ_j ∝ z_j and μ_j = z_j σ_j, so that the log-odds of its vote
    are 2 μ_j |δ_j| / σ_j² = β |δ_j| with one β for all rules: the theorem's link. Loudness
    multiplies μ_j and σ_j alike, which leaves p_j and gives every rule a β of its own; noise is
    added to σ_j², which does so unless all rules are alike.
    """
    quantile, loud, turn = _kinds(world.n_rules, seed)
    p = np.clip(world.accuracy + world.spread * quantile, LEAST, MOST)
    z = ndtri(p)
    sigma = z / np.sqrt((z**2).mean()) * np.exp(world.loudness * loud)
    mu = z * sigma
    mu[turn[: world.n_reversed]] *= -1
    own = sigma**2 * (1 - world.correlation) + (world.noise**2) * (sigma**2).mean()
    return mu, np.sqrt(own), np.sqrt(world.correlation) * sigma


def world_accuracy(mu, spread, shared) -> np.ndarray:
    """How often each rule's vote is right, (n_rules,): below ½ for a reversed one.

    Parameters
    ----------
    mu
        Mean of each rule's δ given Y = +1, (n_rules,).
    spread, shared
        Standard deviation of its own noise, and its share of the common noise, (n_rules,).
    """
    return ndtr(mu / np.sqrt(spread**2 + shared**2))


def draw_world(world: World, n_pairs: int = 3000, seed: int = 0, part: int = 0) -> Simulation:
    """Pairs of a world, Y = ±1 equiprobable.

    Parameters
    ----------
    world
        The numbers.
    n_pairs
        1 or more.
    seed
        As for `world_moments`, and of the pairs; two worlds of as many rules have the same random
        numbers.
    part
        Further pairs of the same world, such as those to estimate from: 0, 1, 2 …

    Returns
    -------
    Simulation, scaled into [-1, 1] as `simulate` does; its regime is ``world``.
    """
    mu, spread, shared = world_moments(world, seed)
    y, own, common = _noise(n_pairs, world.n_rules, seed, part)
    delta = y[:, None] * mu + own * spread
    if shared.any():
        delta += common[:, None] * shared
    cov = np.diag(spread**2) + np.outer(shared, shared)
    scale = 2 / (8 * np.sqrt(np.diag(cov).max()) + np.abs(mu).max())
    half = np.clip(delta * (scale / 2), -1.0, 1.0)
    return Simulation(Scores(half, -half), y, mu * scale, cov * scale**2, "world")


def factor_log_odds(delta, mu, spread, shared, order) -> np.ndarray:
    """Log-odds of Y = +1 given the first 1, 2, 3 … rules of an order, (n_pairs, n_chosen), in nats.

    Parameters
    ----------
    delta
        Discrepancies, (n_pairs, n_rules).
    mu
        Mean of each rule's δ given Y = +1, (n_rules,).
    spread, shared
        Standard deviation of each rule's own noise, and its share of the common noise, (n_rules,),
        in the units of δ.
    order
        Positions of rules, best first, (n_pairs, n_chosen).

    Returns
    -------
    Column k - 1 is what `gaussian_log_odds` says of a pair with the first k rules of its order as
    the subset; with one common noise no matrix has to be inverted (Sherman and Morrison).
    """
    own = np.asarray(spread) ** 2
    shared = np.asarray(shared)

    def summed(values: np.ndarray) -> np.ndarray:
        rows = np.broadcast_to(values, np.shape(delta))
        return np.take_along_axis(rows, np.asarray(order, np.int64), axis=1).cumsum(axis=1)

    found = summed(delta * (mu / own))
    if shared.any():
        with_mean, with_delta = summed(shared * mu / own), summed(delta * (shared / own))
        found = found - with_mean * with_delta / (1 + summed(shared**2 / own))
    return 2 * found


def broken_assumptions(world: World, seed: int = 0) -> dict[str, str]:
    """Which assumptions of the maximum-discrepancy theorem a world breaks, and how.

    Parameters
    ----------
    world
        The numbers.
    seed
        As for `world_moments`.

    Returns
    -------
    ``A1`` or ``A3`` → what is wrong, in words; empty where the theorem holds. A2 holds in every
    such world, since both responses are drawn alike. A4 is a matter of who chooses.
    """
    mu, spread, shared = world_moments(world, seed)
    broken = {}
    if (shared > 0).sum() > 1:
        broken["A1"] = f"votes share noise, correlation {world.correlation:g}"
    beta = mu / (spread**2 + shared**2)
    size = np.abs(beta)
    why = []
    if (beta < 0).any():
        why.append(f"{int((beta < 0).sum())} of {len(beta)} rules are reversed")
    if np.ptp(size) > _SAME * size.max():
        why.append("a loud rule need not be a good one: no one rising link")
    if why:
        broken["A3"] = "; ".join(why)
    return broken


@lru_cache(maxsize=8)
def _kinds(n_rules: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rule is how accurate and how loud, in standard units, and in which order they turn."""
    rng = np.random.default_rng([seed, n_rules])
    quantile = rng.permutation(ndtri((np.arange(n_rules) + 0.5) / n_rules))
    loud = rng.permutation(ndtri((np.arange(n_rules) + 0.5) / n_rules))
    return quantile, loud, rng.permutation(n_rules)


@lru_cache(maxsize=6)
def _noise(n_pairs: int, n_rules: int, seed: int, part: int) -> tuple[np.ndarray, ...]:
    """Y, own noise of each rule and common noise of so many pairs, drawn once."""
    if n_pairs < 1:
        raise ValueError(f"n_pairs is {n_pairs}; allowed: 1 or more")
    rng = np.random.default_rng([seed, part, n_rules])
    y = rng.choice(np.array([-1, 1], dtype=np.int8), n_pairs)
    return y, rng.standard_normal((n_pairs, n_rules)), rng.standard_normal(n_pairs)
