"""The one bootstrap, and the intervals of shares and of an AUC."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom
from scipy.stats import bootstrap as scipy_bootstrap

from rulekit import measures


def test_the_bootstrap_agrees_with_scipys_where_every_row_is_its_own_group():
    values = np.random.default_rng(1).exponential(size=200)

    def spread(weights):
        mean = weights @ values / weights.sum(axis=1)
        return np.sqrt(weights @ values**2 / weights.sum(axis=1) - mean**2)

    ours = measures.bootstrap(spread, range(200), resamples=5000)
    theirs = scipy_bootstrap(
        (values,), np.std, n_resamples=5000, method="percentile", rng=2
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], rel=0.03)


def test_whole_groups_are_drawn_together_and_a_draw_has_as_many_groups_as_there_are():
    groups = np.repeat(list("abcd"), [1, 2, 3, 4])
    seen = []

    def statistic(weights):
        seen.append(weights)
        return weights.sum(axis=1)

    measures.bootstrap(statistic, groups, resamples=50)
    weights = np.concatenate(seen)
    assert weights.shape == (50, 10)
    by_group = weights[:, [0, 1, 3, 6]]
    assert (weights == np.repeat(by_group, [1, 2, 3, 4], axis=1)).all()
    assert (by_group.sum(axis=1) == 4).all()
    assert len(np.unique(by_group, axis=0)) > 10


def test_draws_are_the_same_for_every_statistic_and_however_many_are_held_at_a_time():
    groups = np.repeat(np.arange(1000), 60)  # more rows than fit into one block of weights
    values = np.random.default_rng(0).normal(size=len(groups))
    blocks = []

    def mean(weights):
        blocks.append(len(weights))
        return weights @ values / weights.sum(axis=1)

    many = measures.bootstrap(mean, groups, resamples=200, seed=3)
    assert len(blocks) > 1
    total, size = np.bincount(groups, values), np.bincount(groups)
    whole = measures.bootstrap(lambda w: w @ total / (w @ size), range(1000), resamples=200, seed=3)
    assert many == pytest.approx(whole, abs=1e-12)
    other = measures.bootstrap(mean, groups, resamples=200, seed=4)
    assert (many != other).all()


def test_several_statistics_at_once_and_draws_without_a_value_do_not_count():
    values = np.arange(20.0)

    def statistic(weights):
        mean = weights @ values / weights.sum(axis=1)
        sometimes = np.where(mean > 9.5, mean, np.nan)
        return np.stack([mean, sometimes, np.full(len(mean), np.nan)], axis=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = measures.bootstrap(statistic, range(20), resamples=2000)
    assert low[0] < 8 < 9.5 < low[1] < high[1] == pytest.approx(high[0], abs=0.5)
    assert np.isnan([low[2], high[2]]).all()


@pytest.mark.parametrize(
    ("groups", "given", "message"),
    [
        ([], {}, "not none"),
        (np.ones((1, 2)), {}, r"shape \(1, 2\)"),
        ([[1, 2]], {}, "allowed: numbers, texts or tuples"),
        (["a", None], {}, "groups, row 1 is None"),
        ([1.0, np.nan], {}, "groups, row 1 is nan"),
        (["a", 1], {}, "allowed: numbers, texts or tuples"),
        ([1, 2], {"resamples": 0}, "resamples is 0"),
        ([1, 2], {"level": 1.0}, "level 1.0"),
        ([1, 2], {"level": 0}, "level 0"),
    ],
)
def test_what_cannot_be_resampled_is_refused(groups, given, message):
    with pytest.raises(ValueError, match=message):
        measures.bootstrap(lambda weights: weights.sum(axis=1), groups, **given)


def test_wilson_holds_its_95_percent_over_repeated_samples():
    p, n = 0.3, 50
    counts = np.arange(n + 1)
    covers = [low <= p <= high for low, high in (measures.wilson(k, n) for k in counts)]
    coverage = binom.pmf(counts, n, p)[covers].sum()
    assert 0.93 < coverage < 0.97
    assert measures.wilson(0, 10)[0] == 0
    assert measures.wilson(10, 10)[1] == pytest.approx(1)
    with pytest.raises(ValueError, match="level is 95"):
        measures.wilson(5, 10, 95)
    for successes, n in ((11, 10), (-1, 10), (0, 0), (np.nan, 10)):
        with pytest.raises(ValueError, match="allowed: 0 to n"):
            measures.wilson(successes, n)


def test_one_draw_is_an_interval_of_one_value():
    low, high = measures.bootstrap(lambda weights: weights[:, 0], range(5), resamples=1)
    assert low == high


def test_newcombes_limits_are_where_the_observed_area_is_z_standard_errors_away():
    for value, m, n in ((0.8, 12, 30), (0.55, 5, 5), (0.97, 8, 40)):
        low, high = measures.newcombe(value, m, n)
        for theta, sign in ((low, 1), (high, -1)):
            size = (m + n) / 2 - 1
            spread = 1 + size * (1 - theta) / (2 - theta) + size * theta / (1 + theta)
            error = np.sqrt(theta * (1 - theta) / (m * n) * spread)
            assert theta + sign * 1.959964 * error == pytest.approx(value, abs=1e-6)
        narrow = measures.newcombe(value, m, n, level=0.5)
        assert low < narrow[0] < value < narrow[1] < high
    assert measures.newcombe(1.0, 3, 3)[1] == 1
    assert measures.newcombe(0.0, 3, 3)[0] == 0
    assert measures.newcombe(1.0, 3, 3)[0] == pytest.approx(1 - measures.newcombe(0.0, 3, 3)[1])


@pytest.mark.parametrize("given", [(1.2, 4, 3), (0.7, 0, 3), (0.7, 3, 0)])
def test_newcombe_refuses_what_is_no_auc(given):
    with pytest.raises(ValueError, match="allowed: 0 to 1 of 1 or more each"):
        measures.newcombe(*given)
