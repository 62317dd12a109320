"""Rules one by one: intervals, p-values, false discoveries, threads."""

import os

import numpy as np
import pytest
from scipy.stats import fisher_exact, norm, t
from sklearn.metrics import mutual_info_score

import rulekit as rk
from rulekit.information import checks, neighbours, tables
from rulekit.kernels import votes as kernel
from rulekit.kernels.threads import cores, in_chunks
from tests.information.drawn import correlated, gaussian_classes, planted, two_gaussians

info = rk.information


def test_thread_count_changes_nothing(monkeypatch):
    """Every call has more than the million cells from which on the work is shared out."""
    votes, y = planted(90_000, 20, zero=True)
    delta = np.round(np.random.default_rng(11).normal(0.1 * y[:, None], 0.5, (90_000, 12)), 2)
    results = []
    for n_cores in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, c=n_cores: set(range(c)), False)
        results.append(
            [
                info.rule_mutual_information(votes, y),
                info.redundancy_matrix(votes),
                info.permutation_test(votes, y, 50, family_wise=True),
                info.permutation_test(delta[:1000], y[:1000], 100),
                info.permutation_test(delta, y, 5, family_wise=True),
                info.bootstrap_interval(delta[:9000], y[:9000]),
                info.mutual_information(delta[:2000, 0], delta[:2000, 1], "mixed"),
                info.rule_information(votes, y, n=50).to_numpy(),
            ]
        )
    for one, three in zip(*results, strict=True):
        assert np.all(one == three)
    one, three = (
        neighbours.class_information(delta, y, "mixed", "nats", 3, threads=t) for t in (1, 3)
    )
    assert (one == three).all()


def test_the_exact_p_value_of_a_2x2_table_is_near_fishers_and_uses_no_seed():
    votes, y = planted(80, 6, seed=12, abstain=0.0)
    found = info.permutation_test(votes, y, n=10, seed=1)
    assert (found == info.permutation_test(votes, y, n=99, seed=2)).all()
    tables = kernel.class_tables(*_planes(votes, y))[:, ::2, ::2]
    fisher = [fisher_exact(t).pvalue for t in tables]
    assert found == pytest.approx(fisher, rel=0.6, abs=0.05)  # other orders of the same tables
    enumerated = [_enumerated(t) for t in tables]
    assert found == pytest.approx(enumerated, rel=1e-9)


def _planes(votes, y):
    planes, n = checks.vote_planes("votes", votes)
    return planes, checks.preference_planes(y, n), n


def _enumerated(table) -> float:
    from scipy.stats import hypergeom

    n, row, column = table.sum(), table[0].sum(), table[:, 0].sum()

    def nats(a):
        counts = np.array([[a, row - a], [column - a, n - row - column + a]])
        x, y = (np.repeat(i, counts.ravel()) for i in np.indices((2, 2)).reshape(2, -1))
        return mutual_info_score(x, y)

    support = range(max(0, row + column - n), min(row, column) + 1)
    law = hypergeom(n, row, column)
    limit = nats(table[0, 0]) - 1e-12
    return sum(law.pmf(a) for a in support if nats(a) >= limit)


def test_sampled_tables_have_the_law_of_shuffles():
    votes, y = planted(40, 1, seed=13, abstain=0.4, zero=True)
    p = info.permutation_test(votes, y, n=20_000)[0]
    rng = np.random.default_rng(13)
    seen = mutual_info_score(votes[:, 0], y) - 1e-12
    null = [mutual_info_score(votes[:, 0], rng.permutation(y)) >= seen for _ in range(4000)]
    assert p == pytest.approx(np.mean(null), abs=0.03)


@pytest.mark.parametrize("kind", ["full", "abstaining", "discrepancy", "three classes"])
def test_p_values_under_the_null_are_calibrated(kind):
    rng = np.random.default_rng(14)
    m, n = 2000, 199
    y = rng.choice([-1, 0, 1] if kind == "three classes" else [-1, 1], 150)
    if kind in ("discrepancy", "three classes"):
        x = np.where(rng.random((150, m)) < 0.3, 0, rng.standard_normal((150, m)))
    else:
        x = rng.choice([-1, 1] if kind == "full" else [-1, 0, 1], (150, m))
    p = info.permutation_test(x, y, n=n, seed=3)
    # Rules share one y, so allow a little over the binomial error; exact tests are conservative.
    for level in (0.05, 0.2, 0.5):
        error = 4 * np.sqrt(level * (1 - level) / m) + 0.01
        assert (p <= level).mean() < level + error
        assert (p <= level).mean() > level - error - (0.12 if kind == "full" else 0)


def test_the_classes_of_a_quantity_are_about_equal_and_keep_equal_values_together():
    rng = np.random.default_rng(31)
    y = rng.integers(3, size=2000)
    x = np.stack([rng.standard_normal(2000), np.where(rng.random(2000) < 0.6, 0, y - 1.5)], 1)
    x = np.column_stack([x, np.round(x[:, 0], 1), np.full(2000, 4.0)])
    found = tables.quantity_tables(x, y)
    assert found.shape == (4, 42, 3)  # 2 · 2000^(2/5) = 41.8
    assert (found.sum(axis=1) == np.bincount(y)).all()
    sizes = found.sum(axis=2)
    assert sizes[0].min() >= 2000 // 42
    assert sizes[0].max() <= 2000 // 42 + 1
    assert (sizes[1] > 0).sum() == 4
    assert (sizes[3] > 0).sum() == 1
    codes = tables.quantity_codes(x, 3)
    for j in range(4):
        counted = [np.bincount(codes[j][y == c], minlength=42) for c in range(3)]
        assert (found[j] == np.transpose(counted)).all()
        assert len(set(zip(x[:, j], codes[j], strict=True))) == len(np.unique(x[:, j]))
        turned = tables.quantity_tables(-x[:, j : j + 1], y)[0]  # the same classes, or nearly so
        assert np.abs(turned[::-1].sum(axis=1) - sizes[j]).max() <= 1 or j > 0


def test_the_classes_are_fewer_where_they_would_be_empty():
    y = np.arange(40) % 4
    found = tables.quantity_tables(np.random.default_rng(0).random((40, 1)), y)
    assert found.shape == (1, 2, 4)
    assert tables.quantity_tables(np.arange(4.0)[:, None], np.array([0, 1, 0, 1])).shape[1] == 2


def test_cut_in_classes_a_shift_is_found_more_often_than_by_neighbours():
    classes, nearest = [], []
    for seed in range(60):
        x, y = gaussian_classes(200, 0.2, seed)
        classes.append(info.permutation_test(x, y, n=199, seed=seed) <= 0.05)
        nearest.append(
            info.p_value(info.mutual_information, x, y, n=199, seed=seed, estimator="mixed") <= 0.05
        )
    assert np.mean(classes) > np.mean(nearest)


def test_family_wise_p_values_of_discrepancies_see_the_planted_rule_only():
    rng = np.random.default_rng(32)
    y = rng.choice([-1, 1], 300)
    delta = rng.standard_normal((300, 12))
    delta = np.where(rng.random(delta.shape) < np.linspace(0, 0.9, 12), 0, delta)
    delta[:, 3] += 0.6 * y
    plain, family = (info.permutation_test(delta, y, 200, family_wise=f) for f in (False, True))
    assert family[3] == pytest.approx(1 / 201)
    assert np.delete(family, 3).min() > 0.05
    assert (family >= plain - 0.02).all()
    least = []
    for trial in range(150):
        drawn = rng.permutation(y)
        others = np.delete(delta, 3, axis=1)
        least.append(info.permutation_test(others, drawn, 99, trial, family_wise=True).min())
    assert np.mean(np.array(least) <= 0.1) == pytest.approx(0.1, abs=0.08)


def test_family_wise_p_values_keep_the_chance_of_any_false_finding():
    rng = np.random.default_rng(15)
    least = []
    for trial in range(150):
        votes, y = rng.choice([-1, 0, 1], (100, 20)), rng.choice([-1, 1], 100)
        least.append(info.permutation_test(votes, y, 99, trial, family_wise=True).min())
    assert np.mean(np.array(least) <= 0.1) == pytest.approx(0.1, abs=0.08)
    votes, y = planted(300, 8, seed=15)
    plain = info.permutation_test(votes, y, 200)
    family = info.permutation_test(votes, y, 200, family_wise=True)
    assert (family >= plain - 0.02).all()
    assert family[-1] == 1 / 201


def test_benjamini_hochberg_of_known_values():
    assert info.benjamini_hochberg([0.01, 0.02, 0.03, 0.5]) == pytest.approx(
        [0.04, 0.04, 0.04, 0.5]
    )


def test_intervals_of_votes_cover_the_truth_away_from_zero():
    """Seeds 0 to 399 (standard error .01), both 95 % intervals."""
    truth = 1 + 0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)
    inside = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        y = rng.choice([-1, 1], 500)
        votes = np.where(rng.random(500) < 0.75, y, -y)
        low, high = info.bootstrap_interval(votes, y, n=300, seed=seed)
        inside.append(low < truth < high)
    assert 0.92 <= np.mean(inside) <= 0.98


@pytest.mark.parametrize("shift", [0.0, 0.8])
@pytest.mark.parametrize("step", [1.0, 0.1, 0.0])
@pytest.mark.parametrize("zeros", [0.0, 0.9])
def test_intervals_of_discrepancies_cover_the_truth_at_zero_too(shift, step, zeros):
    """300 draws of 200 pairs; measured with 1,000: .94 and more, standard error here .014."""
    rng, inside = np.random.default_rng(33), []
    bounds = (np.arange(-12 / (step or 0.1), 12 / (step or 0.1) + 1) - 0.5) * step
    law = np.stack([np.diff(norm.cdf(bounds - s)) for s in (-shift, shift)]).T[None]
    truth = two_gaussians(shift) / np.log(2)
    truth = (1 - zeros) * (info.table_information(law, "plugin")[0] if step else truth)
    for seed in range(300):
        y = rng.choice([-1, 1], 200)
        x = rng.standard_normal(200) + shift * y
        x = np.where(rng.random(200) < zeros, 0, np.rint(x / step) * step if step else x)
        low, high = info.bootstrap_interval(x, y, "mixed", seed=seed)
        inside.append(low <= truth + 1e-12 and truth - 1e-12 <= high)
    assert np.mean(inside) >= 0.93 - 2 * 0.014


def test_a_wider_level_and_fewer_pairs_make_a_wider_interval():
    x, y = gaussian_classes(400, 0.5, 34)
    widths = [np.ptp(info.bootstrap_interval(x, y, level=level)) for level in (0.5, 0.95, 0.999)]
    assert widths == sorted(widths)
    assert np.ptp(info.bootstrap_interval(x[:100], y[:100])) > 1.4 * widths[1]
    never = info.bootstrap_interval(np.zeros(100), y[:100], "mixed", "nats")  # nothing to tell
    assert never == pytest.approx([-t.ppf(0.975, 20) * 0.02, t.ppf(0.975, 20) * 0.02])


def test_the_interval_of_one_rule_is_that_of_the_matrix():
    votes, y = planted(200, 1)
    alone = info.bootstrap_interval(votes[:, 0], y, n=200)
    assert alone.shape == (2,)
    assert alone == pytest.approx(info.bootstrap_interval(votes, y, n=200)[0], abs=0.02)


def test_rule_information_finds_the_planted_rules_among_votes_and_discrepancies():
    rng = np.random.default_rng(16)
    y = rng.choice([-1, 1], 600)
    delta = rng.normal(0, 0.5, (600, 6))
    delta[:, 4] += 0.4 * y
    delta = np.where(rng.random(delta.shape) < 0.3, 0, delta)
    ids = [f"rule {j}" for j in range(6)]
    for x in (np.sign(delta), delta):
        frame = info.rule_information(x, y, ids, n=200)
        assert frame.columns == ["rule", "estimate", "low", "high", "p", "q"]
        assert frame["rule"].to_list() == ids
        best = frame.row(4, named=True)
        assert best["low"] < best["estimate"] < best["high"]
        assert best["q"] < 0.05 < frame["q"].gather([0, 1, 2, 3, 5]).min()
        assert frame.equals(info.rule_information(x, y, ids, n=200))


def test_rounding_breaks_no_tie_of_a_discrepancy():
    rng = np.random.default_rng(17)
    y = rng.choice([-1, 1], 400)
    a, b = (rng.integers(11, size=(400, 2)) / 10 for _ in "ab")
    rounded = np.round(a - b, 1)
    noisy = info.rule_information((a - b).astype(np.float32), y, n=5)
    assert (
        noisy["estimate"].to_list() == info.rule_information(rounded, y, n=5)["estimate"].to_list()
    )


def test_without_affinity_the_machine_says_its_cores_and_threads_are_obeyed(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    for threads, slices in ((None, 12), (1, 1), (2, 8)):
        seen = []
        in_chunks(lambda *edges, seen=seen: seen.append(edges), 240, 10_000, threads)
        assert len(seen) == slices
        assert sum(stop - start for start, stop in seen) == 240
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_one_variable_has_one_p_value_that_of_the_matrix():
    votes, y = planted(150, 3, seed=26)
    delta = votes + np.random.default_rng(26).standard_normal(votes.shape)
    for x in (votes[:, :1], delta[:, :1]):
        found = info.permutation_test(x[:, 0], y, n=99)
        assert isinstance(found, float)
        assert found == info.permutation_test(x, y, n=99)[0]
    x, z = correlated(np.random.default_rng(26))
    assert info.permutation_test(x, z, n=99) == 0.01
    names = np.where(y > 0, "A", "B")
    assert info.permutation_test(names, names, n=99) < 1e-20


@pytest.mark.parametrize("family_wise", [False, True])
def test_the_least_p_value_of_sampled_tables_is_one_over_their_number_and_one(family_wise):
    y = np.tile([1, -1, 1, -1, 1], 40)
    votes = np.stack([np.where(np.arange(200) % 7 == 0, 0, y), np.zeros(200)], axis=1)
    p = info.permutation_test(votes, y, n=99, family_wise=family_wise)
    assert p[0] == pytest.approx(0.01)
    assert p[1] == 1


def test_p_values_of_useless_rules_are_uniform_on_the_multiples_of_one_over_permutations_plus_one():
    rng = np.random.default_rng(21)
    y = rng.choice([-1, 1], 200)
    p = info.permutation_test(rng.standard_normal((200, 2000)), y, n=19, seed=4)
    steps = np.rint(p * 20).astype(int)
    assert p * 20 == pytest.approx(steps)
    counted = np.bincount(steps, minlength=21)[1:]
    assert ((counted - 100) ** 2 / 100).sum() < 50  # χ², 19 degrees of freedom: 1.4 in 10,000
    exact = info.permutation_test(rng.choice([-1, 1], (200, 2000)), y)
    assert abs((exact <= 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 2000)
