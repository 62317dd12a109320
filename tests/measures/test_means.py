"""The interval of a mean over groups: known cases, and how often it covers, counted exactly."""

from functools import cache
from itertools import combinations_with_replacement
from math import comb, factorial, lgamma, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, norm, t, ttest_1samp

from rulekit import measures

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


def test_right_and_wrong_without_groups_have_clopper_and_pearsons_limits():
    for right, n in ((0, 4), (3, 4), (37, 60), (60, 60)):
        values = np.r_[np.ones(right), np.zeros(n - right)]
        theirs = binomtest(right, n).proportion_ci(method="exact")
        for groups in (None, range(n)):
            ours = measures.mean_interval(values, groups, bounds=(0, 1))
            assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_without_bounds_and_groups_it_is_students():
    values = np.random.default_rng(0).normal(2, 3, 9)
    for level in (0.95, 0.5):
        theirs = ttest_1samp(values, 0).confidence_interval(level)
        ours = measures.mean_interval(values, level=level)
        assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_without_bounds_equal_groups_count_as_their_means():
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=24), np.tile(list("abcdef"), 4)
    means = [values[groups == g].mean() for g in "abcdef"]
    assert measures.mean_interval(values, groups) == pytest.approx(measures.mean_interval(means))
    assert np.isnan(measures.mean_interval([1, 2, 3], [0, 0, 0])).all()


def test_no_pair_wrong_tells_as_much_as_the_prompts_do_however_many_pairs_each_has():
    three = binomtest(3, 3).proportion_ci(method="exact")
    ours = measures.mean_interval(np.ones(6), [0, 0, 1, 1, 2, 2], bounds=(0, 1))
    assert ours == pytest.approx((three.low, 1.0), abs=1e-12)
    zero = measures.mean_interval(np.zeros(6), [0, 0, 1, 1, 2, 2], bounds=(0, 1))
    assert zero == pytest.approx((0.0, 1 - three.low), abs=1e-12)
    one = measures.mean_interval([1, 1, 0, 1], [7, 7, 7, 7], bounds=(0, 1))
    assert one[0] < 0.05 < 0.95 < one[1]


def test_the_design_effect_of_two_hundred_prompts_by_hand():
    # 200 prompts of 2 pairs: 80 both right, 40 both wrong, 80 one of each. n s² = 400 · .6 · .4 = 96.
    right = np.r_[np.ones(160), np.zeros(80), np.tile([1, 0], 80)]
    groups = np.repeat(np.arange(200), 2)
    z2, student = 1.9599639845**2, 1.9719565442  # t of 199 degrees of freedom
    # e_g: .8, -1.2, -.2; Σ e_g² = 80 · .64 + 40 · 1.44 + 80 · .04 = 112
    correlation = (200 / 199 * 112 / 96 - 1) / (2 - 1)
    correlation = (96 * correlation + z2) / (96 + z2)
    cases = 400 / (1 + correlation) / (student**2 / z2)
    expected = (
        beta.ppf(0.025, 0.6 * cases, 0.4 * cases + 1),
        beta.ppf(0.975, 0.6 * cases + 1, 0.4 * cases),
    )
    assert measures.mean_interval(right, groups, bounds=(0, 1)) == pytest.approx(expected, abs=1e-8)


def plain_twin(values, groups, level: float) -> tuple[float, float]:
    """The interval of shares as the docstring states it, one line of it at a time."""
    n, p, c = len(values), sum(values) / len(values), norm.ppf((1 + level) / 2) ** 2
    scatter = sum((v - p) ** 2 for v in values)
    members = [[v for v, g in zip(values, groups, strict=True) if g == h] for h in set(groups)]
    m, g = sum(len(x) ** 2 for x in members) / n, len(members)
    effect = 1.0
    if m > 1:
        rho = (g / (g - 1) * sum(sum(v - p for v in x) ** 2 for x in members) / scatter - 1) / (
            m - 1
        )
        rho = (scatter * min(max(rho, 0), 1) + c) / (scatter + c)
        freedom = sum(len(x) ** 2 for x in members) ** 2 / sum(len(x) ** 4 for x in members) - 1
        effect = min(m, (1 + (m - 1) * rho) * t.ppf((1 + level) / 2, freedom) ** 2 / c)
    cases = n / effect * (n * p * (1 - p) + c / 2) / (scatter + c / 2)
    low = beta.ppf((1 - level) / 2, p * cases, (1 - p) * cases + 1)
    return low, beta.ppf((1 + level) / 2, p * cases + 1, (1 - p) * cases)


@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("kind", ["right or wrong", "with ties", "shares", "one right of each"])
@pytest.mark.parametrize(
    ("prompts", "sizes"), [(4, [1, 2, 6]), (6, [6]), (30, [2]), (150, [1, 2, 6])]
)
def test_the_interval_is_that_of_a_plain_twin(prompts, sizes, kind, level):
    rng = np.random.default_rng(prompts)
    groups = rng.permutation(np.repeat(np.arange(prompts), np.resize(sizes, prompts)))
    accuracy = rng.beta(2, 1, prompts)[groups]
    values = {
        "right or wrong": rng.random(len(groups)) < accuracy,
        "with ties": rng.binomial(2, accuracy) / 2,
        "shares": rng.binomial(20, accuracy) / 20,
        "one right of each": np.diff(np.sort(groups), prepend=-1)[np.argsort(np.argsort(groups))],
    }[kind].astype(float)
    expected = plain_twin(values.tolist(), groups.tolist(), level)
    ours = measures.mean_interval(values, groups, bounds=(0, 1), level=level)
    assert ours == pytest.approx(expected, abs=1e-9)


def test_few_prompts_that_have_nothing_in_common_tell_more_than_prompts_that_are_alike():
    one_of_two = np.tile([1.0, 0.0], 18)
    apart = measures.mean_interval(one_of_two, np.repeat(np.arange(6), 6), bounds=(0, 1))
    alike = measures.mean_interval(np.sort(one_of_two), np.repeat(np.arange(6), 6), bounds=(0, 1))
    assert apart[1] - apart[0] < 0.9 * (alike[1] - alike[0])


def test_shares_that_vary_less_than_right_and_wrong_have_a_shorter_interval():
    rng = np.random.default_rng(0)
    values = rng.uniform(0.4, 0.6, 300)
    low, high = measures.mean_interval(values, bounds=(0, 1))
    student = measures.mean_interval(values)
    assert low < student[0] < student[1] < high
    assert high - low < 0.35 * np.subtract(*measures.wilson(150, 300)[::-1])


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=30
    )
)
def test_bounds_are_kept_and_right_mirrors_wrong_and_rows_have_no_order(rows):
    values, groups = map(np.array, zip(*rows, strict=True))
    low, high = measures.mean_interval(values, groups, bounds=(0, 1))
    assert 0 <= low <= values.mean() <= high <= 1
    assert high - low > 0.05
    mirrored = measures.mean_interval(1 - values, groups, bounds=(0, 1))
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert measures.mean_interval(values[::-1], groups[::-1], bounds=(0, 1)) == pytest.approx(
        (low, high), abs=1e-9
    )
    wide = measures.mean_interval(2 * values - 1, groups, bounds=(-1, 1))
    assert wide == pytest.approx((2 * low - 1, 2 * high - 1), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "given", "message"),
    [
        ([0.5, np.nan], {}, "values, row 1 is nan; allowed: numbers"),
        ([0.5, 1.5], {"bounds": (0, 1)}, "values, row 1 is 1.5; allowed: 0 to 1"),
        ([], {}, r"shape \(0,\)"),
        ([[0.5]], {}, r"shape \(1, 1\)"),
        ([0.5, 0.6], {"groups": [1]}, r"groups have shape \(1,\); allowed: \(2,\)"),
        ([0.5, 0.6], {"level": 95}, "level is 95"),
        ([0.5, 0.6], {"bounds": (1, 0)}, "bounds are 1 and 0; allowed: the lower one first"),
    ],
)
def test_what_has_no_mean_is_refused(values, given, message):
    with pytest.raises(ValueError, match=message):
        measures.mean_interval(values, **given)


@cache
def intervals(prompts: int, pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every outcome of equally large prompts, in how many orders it comes, and its interval."""
    groups = np.repeat(np.arange(prompts), pairs)
    outcomes, ways, found = [], [], []
    for right in combinations_with_replacement(range(pairs + 1), prompts):
        values = np.concatenate([np.arange(pairs) < r for r in right])
        times = np.bincount(right, minlength=pairs + 1)
        outcomes.append(times)
        ways.append(factorial(prompts) / prod(factorial(t) for t in times))
        found.append(measures.mean_interval(values, groups, bounds=(0, 1)))
    return np.array(outcomes), np.array(ways), np.array(found)


def beta_binomial(pairs: int, share: float, correlation: float) -> np.ndarray:
    """Chance of 0 … pairs right of a prompt whose accuracy has a beta distribution."""
    if not correlation:
        return np.array(
            [comb(pairs, k) * share**k * (1 - share) ** (pairs - k) for k in range(pairs + 1)]
        )
    a, b = (x * (1 - correlation) / correlation for x in (share, 1 - share))

    def log_beta(x: float, y: float) -> float:
        return lgamma(x) + lgamma(y) - lgamma(x + y)

    return np.array(
        [
            comb(pairs, k) * np.exp(log_beta(k + a, pairs - k + b) - log_beta(a, b))
            for k in range(pairs + 1)
        ]
    )


def whole_prompts(pairs: int, share: float, correlation: float) -> np.ndarray:
    """The same where some prompts are right or wrong as a whole and the pairs of others independent."""
    chance = (1 - correlation) * beta_binomial(pairs, share, 0)
    chance[[0, -1]] += correlation * np.array([1 - share, share])
    return chance


@pytest.mark.parametrize(
    ("prompts", "pairs"), [(5, 1), (5, 2), (5, 6), (8, 6), (12, 2), (20, 3), (50, 2)]
)
@pytest.mark.parametrize("chances", [beta_binomial, whole_prompts])
def test_the_interval_of_an_accuracy_covers_whatever_prompts_have_in_common(
    prompts, pairs, chances
):
    """Exact: the chances of all outcomes whose interval holds the truth are added up."""
    outcomes, ways, found = intervals(prompts, pairs)
    for share in SHARES:
        covers = (found[:, 0] <= share) & (share <= found[:, 1])
        for correlation in (0.0, 0.2, 0.5, 0.8):
            chance = chances(pairs, share, correlation)
            coverage = (ways * (chance**outcomes).prod(axis=1))[covers].sum()
            assert coverage >= 0.95


@pytest.mark.parametrize("share", [0.7, 0.95])
def test_the_interval_covers_with_many_prompts_of_one_to_six_pairs(share):
    """Seeded: of 300 samples at least .93 are covered, for a share and a correlation in the middle."""
    rng = np.random.default_rng(0)
    size = np.resize([1, 2, 3, 4, 5, 6], 144)
    groups, covered = np.repeat(np.arange(144), size), 0
    for _ in range(300):
        accuracy = rng.beta(share, 1 - share, 144)  # intraclass correlation ½
        right = rng.random(len(groups)) < accuracy[groups]
        low, high = measures.mean_interval(right, groups, bounds=(0, 1))
        covered += low <= share <= high
    assert 0.93 <= covered / 300 <= 0.995


def test_the_interval_of_a_difference_covers_where_most_pairs_are_judged_alike():
    """Exact, as above, with pairs that only the first gets right: chance .01 to .5."""
    prompts, pairs = 12, 2
    groups = np.repeat(np.arange(prompts), pairs)
    for share in (0.01, 0.05, 0.2, 0.5):
        total = 0.0
        for right in combinations_with_replacement(range(pairs + 1), prompts):
            gain = np.concatenate([np.arange(pairs) < r for r in right]).astype(float)
            times = np.bincount(right, minlength=pairs + 1)
            low, high = measures.mean_interval(gain, groups, bounds=(-1, 1))
            if low <= share <= high:
                ways = factorial(prompts) / prod(factorial(t) for t in times)
                total += ways * (whole_prompts(pairs, share, 0.5) ** times).prod()
        assert total >= 0.95


def test_the_bootstrap_of_few_groups_has_students_width_where_percentiles_are_too_narrow():
    values = np.random.default_rng(3).normal(size=8)

    def mean(weights):
        return weights @ values / weights.sum(axis=1)

    low, high = measures.bootstrap(mean, range(8), resamples=40_000)
    student = measures.mean_interval(values)
    assert high - low == pytest.approx(student[1] - student[0], rel=0.12)
    draws = np.random.default_rng(0).choice(values, (40_000, 8)).mean(axis=1)
    assert high - low > 1.2 * np.subtract(*np.quantile(draws, (0.975, 0.025)))
