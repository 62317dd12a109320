"""Worlds of rules by their numbers: what they promise of accuracies, noise and assumptions."""

from dataclasses import replace

import numpy as np
import pytest

import rulekit as rk
from rulekit.theory import World, broken_assumptions, draw_world, world_accuracy, world_moments

WORLDS = [
    World(),
    World(accuracy=0.7, spread=0.1, correlation=0.4),
    World(noise=1.0, spread=0.0),
    World(loudness=0.8, n_reversed=5),
]


def hit_rates(drawn) -> np.ndarray:
    return (np.sign(drawn.scores.discrepancy) == drawn.preference[:, None]).mean(axis=0)


@pytest.mark.parametrize("world", WORLDS)
def test_votes_are_as_often_right_as_the_moments_say(world):
    expected = world_accuracy(*world_moments(world))
    found = hit_rates(draw_world(world, 20_000))
    assert np.abs(found - expected).max() < 5 * 0.5 / np.sqrt(20_000)


def test_without_noise_accuracies_have_the_mean_that_was_asked_for_and_reversed_ones_mirror_it():
    straight = world_accuracy(*world_moments(World(accuracy=0.65, spread=0.03, loudness=1.0)))
    assert straight.mean() == pytest.approx(0.65, abs=1e-9)
    assert straight.std() == pytest.approx(0.03, rel=0.1)
    turned = world_accuracy(*world_moments(World(accuracy=0.65, spread=0.03, n_reversed=4)))
    assert (turned < 0.5).sum() == 4
    assert np.abs(turned - 0.5) == pytest.approx(np.abs(straight - 0.5))


def test_correlation_is_that_of_the_noise():
    world = World(correlation=0.5, loudness=0.5)
    drawn = draw_world(world, 20_000)
    noise = drawn.scores.discrepancy - drawn.preference[:, None] * drawn.mu
    found = np.corrcoef(noise.T)[np.triu_indices(world.n_rules, 1)]
    assert np.abs(found - 0.5).max() < 0.05
    assert np.cov(noise.T) == pytest.approx(drawn.cov, abs=0.05 * drawn.cov.max())


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, set()),
        ({"spread": 0.1}, set()),
        ({"spread": 0.0, "noise": 2.0}, set()),
        ({"noise": 0.5}, {"A3"}),
        ({"loudness": 0.2}, {"A3"}),
        ({"n_reversed": 1}, {"A3"}),
        ({"correlation": 0.1}, {"A1"}),
        ({"correlation": 0.1, "n_reversed": 2}, {"A1", "A3"}),
    ],
)
def test_assumptions_break_where_they_should(change, broken):
    assert set(broken_assumptions(replace(World(), **change))) == broken


def test_under_the_assumptions_largest_discrepancy_is_the_best_of_all_subsets_and_else_it_is_not():
    def lacks(world: World) -> float:
        mu, spread, shared = world_moments(world)
        scale = draw_world(world, 50).mu[0] / mu[0]
        size = np.abs(draw_world(world, 50).scores.discrepancy) / scale
        p = 1 / (1 + np.exp(-2 * np.abs(mu) * size / (spread**2 + shared**2)))
        loud = np.argsort(-size, axis=1)[:, :3]
        best = [rk.theory.best_subset(row, 3)[1] for row in p]
        picked = [rk.theory.vote_information(row[s]) for row, s in zip(p, loud, strict=True)]
        return float(np.max(np.array(best) - picked))

    assert lacks(World(n_rules=8, spread=0.08)) < 1e-6
    assert lacks(World(n_rules=8, spread=0.08, loudness=0.8)) > 0.01


def test_log_odds_of_the_first_rules_are_those_of_the_gaussian_model():
    for world in WORLDS[:2]:
        mu, spread, shared = world_moments(world)
        cov = np.diag(spread**2) + np.outer(shared, shared)
        delta = np.random.default_rng(1).normal(size=(6, world.n_rules))
        order = np.argsort(-np.abs(delta), axis=1)[:, :5]
        found = rk.theory.factor_log_odds(delta, mu, spread, shared, order)
        for i in range(len(delta)):
            for k in range(1, 6):
                exact = rk.theory.gaussian_log_odds(delta[[i]], mu, cov, order[i, :k])
                assert found[i, k - 1] == pytest.approx(exact[0], rel=1e-9, abs=1e-12)


def test_moving_one_number_leaves_the_random_numbers_as_they_are():
    one, other = draw_world(World(), 100), draw_world(World(accuracy=0.6201), 100)
    assert (one.preference == other.preference).all()
    assert np.abs(one.scores.discrepancy - other.scores.discrepancy).max() < 0.01
    further = draw_world(World(), 100, part=1)
    assert (one.preference != further.preference).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.5),
        ("spread", -0.1),
        ("correlation", 1.0),
        ("noise", -1),
        ("loudness", 4),
        ("n_rules", 0),
        ("n_reversed", 21),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*allowed"):
        World(**{name: value})
