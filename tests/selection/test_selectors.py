"""Selectors: known answers, plain twins, invariances, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rulekit as rk
from tests.oracles import correlation, determinantal, diverse, top_k
from tests.selection.drawn import planted, random_model, random_scores

FIXED = {"all", "cmim", "discriminant", "frugal", "greedy_cmi", "jmi", "mrmr", "static"}


@pytest.mark.parametrize("method", rk.selectors())
def test_every_selector_gives_k_distinct_rules_and_fixed_ones_the_same_to_every_pair(method):
    s = random_scores(60, 9, 0)
    y = np.random.default_rng(1).choice([-1, 1], 60)
    found = rk.select(s, 4, method, reference=s, preference=y, estimates=random_model(9, 2))
    assert all(len(set(row)) == found.k for row in found.indices.tolist())
    assert found.fixed == (method in FIXED)
    if method == "all":
        assert found.k == 9
    elif method == "greedy_cmi":
        assert 1 <= found.k <= 4
    else:
        assert found.k == 4
    if found.fixed:
        assert (found.indices == found.indices[0]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 10**6), st.data())
def test_lowest_discrepancy_and_relevance_equal_the_plain_twin(n, m, seed, data):
    rng, k = np.random.default_rng(seed), data.draw(st.integers(1, m))
    a, b = (rng.integers(21, size=(n, m)) / 10 - 1 for _ in "ab")
    s = rk.Scores(a, b, rng.integers(11, size=(n, m)) / 10)
    lowest = 2 - np.abs(np.round(a - b, 3))
    assert (rk.select(s, k, "lowest_discrepancy").indices == top_k(lowest, k)).all()
    relevance = np.round(s.relevance.astype(float), 3)
    assert (rk.select(s, k, "relevance").indices == top_k(relevance, k)).all()


def test_log_odds_takes_the_largest_own_evidence():
    s, e = random_scores(50, 12, 3), random_model(12, 4)
    expected = [
        sorted(range(12), key=lambda j: (-abs(e.mu[j] * delta[j] / e.cov[j, j]), j))[:5]
        for delta in s.discrepancy.astype(float)
    ]
    assert rk.select(s, 5, "log_odds", estimates=e).indices.tolist() == expected


def test_whitened_is_log_odds_for_independent_rules_and_differs_for_a_repeated_rule():
    s = random_scores(50, 6, 5)
    independent = rk.Estimates(
        np.array([0.3, -0.2, 0.5, 0.1, 0.4, 0.2]), np.eye(6) * 0.7, 0, "given"
    )
    pair = [rk.select(s, 3, m, estimates=independent).indices for m in ("log_odds", "whitened")]
    assert (pair[0] == pair[1]).all()
    cov = np.eye(3)
    cov[0, 1] = cov[1, 0] = 0.9
    twins = rk.Estimates(np.array([0.5, 0.5, 0.4]), cov, 0, "given")
    s = rk.Scores.from_discrepancy(np.ones((1, 3)))
    assert rk.select(s, 1, "log_odds", estimates=twins).indices[0, 0] == 0
    assert rk.select(s, 1, "whitened", estimates=twins).indices[0, 0] == 2


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 15), st.integers(0, 10**6), st.data())
def test_adaptive_rules_decide_as_all_rules_do(m, seed, data):
    s, e = random_scores(30, m, seed), random_model(m, seed + 1)
    k = data.draw(st.integers(1, m))
    few = rk.label(s, rk.select(s, k, "adaptive", estimates=e), "weighted", estimates=e)
    every = rk.label(s, rk.select(s, k, "all"), "weighted", estimates=e)
    clear = np.abs(every.margin) > 1e-3
    assert (few.preference[clear] == every.preference[clear]).all()


def test_diverse_without_redundancy_is_max_discrepancy_and_else_avoids_the_copy():
    s = random_scores(40, 8, 6)
    unrelated = rk.Estimates(np.zeros(8), np.eye(8), 0, "given")
    found = rk.select(s, 3, "diverse", estimates=unrelated)
    size = np.abs(s.discrepancy.astype(float))
    chosen = [np.take_along_axis(size, i, 1) for i in (found.indices, rk.select(s, 3).indices)]
    assert chosen[0] == pytest.approx(chosen[1])
    cov = np.eye(3)
    cov[0, 1] = cov[1, 0] = 0.95
    twins = rk.Estimates(np.zeros(3), cov, 0, "given")
    s = rk.Scores.from_discrepancy([[1.0, 0.9, 0.5]])
    assert rk.select(s, 2, "diverse", estimates=twins).indices.tolist() == [[0, 2]]
    assert rk.select(s, 2, "dpp", estimates=twins).indices.tolist() == [[0, 2]]
    assert rk.select(s, 2).indices.tolist() == [[0, 1]]


def test_information_selectors_pass_over_a_copy_that_static_takes():
    s, y = planted(4000, np.array([0.8, 0.8, 0.7, 0.5]), 11)
    delta = s.discrepancy
    delta[:, 1] = delta[:, 0]
    s = rk.Scores.from_discrepancy(delta)
    chosen = {
        m: rk.select(s, 2, m, reference=s, preference=y).indices[0].tolist()
        for m in ("static", "mrmr", "jmi", "cmim", "greedy_cmi")
    }
    assert chosen.pop("static") == [0, 1]
    assert list(chosen.values()) == [[0, 2]] * 4


def test_greedy_cmi_stops_when_the_other_rules_say_nothing_new():
    extra = []
    for seed in range(20):
        s, y = planted(500, np.array([0.85, 0.75, *[0.5] * 18]), seed)
        found = rk.select(s, 10, "greedy_cmi", reference=s, preference=y)
        assert found.indices[0, :2].tolist() == [0, 1]
        extra.append(found.k - 2)
    assert np.mean(np.array(extra) > 0) <= 0.2  # the test's level is 5 %


@pytest.mark.parametrize("method", ["static", "mrmr", "jmi", "cmim", "greedy_cmi"])
def test_which_response_came_first_does_not_matter(method):
    s, y = planted(300, np.linspace(0.5, 0.8, 8), 12)
    flip = np.random.default_rng(13).choice([-1, 1], 300)
    turned = rk.Scores.from_discrepancy(s.discrepancy * flip[:, None])
    always_first = rk.Scores.from_discrepancy(s.discrepancy * y[:, None])
    found = [
        rk.select(s, 4, method, reference=r, preference=p).indices[0].tolist()
        for r, p in ((s, y), (turned, y * flip), (always_first, np.ones(300)))
    ]
    assert found[0] == found[1] == found[2]


def test_static_without_preferences_reads_the_reference_and_is_fixed_only_then():
    s, other = random_scores(50, 6, 20), random_scores(50, 6, 21)
    size = np.abs(other.discrepancy).mean(axis=0)
    found = rk.select(s, 2, "static", reference=other)
    assert found.indices[0].tolist() == np.argsort(-size, kind="stable")[:2].tolist()
    assert found.fixed
    assert not rk.select(s, 2, "static").fixed  # chosen by looking at these very pairs


@pytest.mark.parametrize("method", [m for m in rk.selectors() if m != "random"])
def test_rules_that_are_alike_are_chosen_in_their_order(method):
    rng = np.random.default_rng(22)
    y = rng.choice([-1, 1], 40)
    vote = np.where(rng.random(40) < 0.8, y, -y)[:, None]
    s = rk.Scores.from_discrepancy(np.repeat(vote, 6, 1) / 2, np.full((40, 6), 0.5))
    e = rk.Estimates(np.full(6, 0.4), np.eye(6), 40, "given")
    found = rk.select(s, 3, method, reference=s, preference=y, estimates=e).indices
    assert (found == np.arange(found.shape[1])).all()


@pytest.mark.parametrize("method", ["static", "mrmr", "jmi", "cmim", "greedy_cmi"])
def test_a_discrepancy_within_rounding_of_zero_is_no_vote_to_choose_rules_by(method):
    """Rule 0 has the side of the better response always, but by 4e-7 alone says nothing."""
    rng = np.random.default_rng(23)
    y = rng.choice([-1, 1], 400)
    delta = np.where(rng.random((400, 2)) < 0.75, y[:, None], -y[:, None]).astype(float)
    for size, chosen in ((4e-7, 1), (6e-7, 0)):
        delta[:, 0] = size * y
        s = rk.Scores.from_discrepancy(delta)
        found = rk.select(s, 1, method, reference=s, preference=y)
        assert (found.indices == chosen).all()


@pytest.mark.parametrize("method", ["max_discrepancy", "log_odds", "whitened", "adaptive"])
def test_a_discrepancy_within_rounding_of_zero_is_not_chosen_before_zero(method):
    e = rk.Estimates(np.ones(2), np.eye(2), 0, "given")
    for size, chosen in ((4e-7, 0), (6e-7, 1)):
        s = rk.Scores.from_discrepancy([[0.0, size]])
        assert rk.select(s, 1, method, estimates=e).indices.tolist() == [[chosen]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, e: rk.select(s, 2, "log_odds"), "method 'log_odds' needs estimates"),
        (lambda s, e: rk.select(s, 2, "jmi"), "method 'jmi' needs reference and preference"),
        (lambda s, e: rk.select(s, 2, "jmi", reference=s), "give both reference and preference"),
        (
            lambda s, e: rk.select(s, 2, "jmi", reference=s, preference=np.zeros(3)),
            "no preference of the reference is known",
        ),
        (
            lambda s, e: rk.select(s, 2, "jmi", reference=s, preference=[1, -1, 2]),
            "preference holds other values than -1, 0 (not known) and +1",
        ),
        (
            lambda s, e: rk.select(s, 2, "whitened", estimates=random_model(3, 0)),
            "estimates: 3 rules; allowed: 4",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(random_scores(3, 4, 0), random_model(4, 1))
    assert message in str(error.value)


def test_frugal_without_labels_takes_the_largest_mean_evidence_over_the_reference():
    e = random_model(8, 30)
    unlabelled = rk.Estimates(e.mu, e.cov, 0, "drawn", 0.5)
    s, other = random_scores(20, 8, 31), random_scores(300, 8, 32)
    delta = np.abs(other.discrepancy.astype(float)) * np.linspace(1, 0.05, 8)
    other = rk.Scores.from_discrepancy(delta)
    worth = [
        abs(e.mu[j]) * np.mean(np.sqrt(other.discrepancy[:, j].astype(float))) / e.cov[j, j]
        for j in range(8)
    ]
    found = rk.select(s, 3, "frugal", reference=other, estimates=unlabelled)
    expected = sorted(range(8), key=lambda j: -worth[j])[:3]
    assert found.indices.tolist() == [expected] * 20
    assert found.fixed
    with pytest.raises(ValueError, match="'frugal' without labels needs a reference"):
        rk.select(s, 3, "frugal", estimates=unlabelled)


def test_frugal_with_labels_is_the_discriminant():
    s, e = random_scores(5, 8, 33), random_model(8, 34)
    pair = [rk.select(s, 4, m, estimates=e).indices for m in ("frugal", "discriminant")]
    assert (pair[0] == pair[1]).all()


@pytest.mark.parametrize(("method", "twin"), [("diverse", diverse), ("dpp", determinantal)])
def test_redundancy_is_that_of_the_estimates_and_without_them_of_the_pairs(method, twin):
    s = random_scores(40, 6, 35)
    delta = s.discrepancy
    delta[:, 1] = delta[:, 0] / 2 + delta[:, 1] / 3
    s = rk.Scores.from_discrepancy(delta)
    delta = s.discrepancy.astype(float)
    e = random_model(6, 36)
    given = correlation(e.cov + np.outer(e.mu, e.mu))
    for estimates, rho in ((e, given), (None, correlation(delta.T @ delta))):
        found = rk.select(s, 3, method, estimates=estimates)
        seen = [i for i in range(40) if (delta[i] != 0).sum() >= 3]
        expected = [twin(np.abs(delta[i]), rho, 3) for i in seen]
        assert found.indices[seen].tolist() == expected


def test_adaptive_goes_with_the_first_response_where_the_evidence_is_even():
    e = rk.Estimates(np.ones(3), np.eye(3), 0, "given")
    s = rk.Scores.from_discrepancy([[-0.5, 0.5, 0.0], [0.25, 0.25, -0.5], [-0.5, 0.25, 0.0]])
    found = rk.select(s, 3, "adaptive", estimates=e)
    assert found.indices.tolist() == [[1, 2, 0], [0, 1, 2], [0, 2, 1]]


@pytest.mark.parametrize("k", [True, 2.0, "2", 5, 0, None])
def test_a_number_of_rules_that_is_none_is_refused_by_all_but_the_method_that_takes_every_rule(k):
    s = random_scores(3, 4, 40)
    with pytest.raises(ValueError, match="allowed: 1 to 4, the number of rules"):
        rk.select(s, k)
    assert rk.select(s, k, "all").indices.tolist() == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("k", [1, 4, np.int64(3)])
def test_every_number_of_rules_from_one_to_all_is_allowed(k):
    found = rk.select(random_scores(3, 4, 41), k)
    assert (found.k, found.method, found.n_rules) == (k, "max_discrepancy", 4)
    assert found.indices.dtype == np.int32


@pytest.mark.parametrize("method", ["static", "frugal", "jmi", "max_discrepancy"])
def test_a_preference_without_its_reference_is_refused(method):
    s = random_scores(3, 4, 42)
    with pytest.raises(ValueError, match="give both reference and preference, or neither"):
        rk.select(s, 2, method, preference=np.ones(3), estimates=random_model(4, 43))


def test_a_reference_under_other_rules_is_refused_and_only_some_methods_take_one_alone():
    s, other = random_scores(3, 4, 44), random_scores(3, 5, 45)
    with pytest.raises(ValueError, match="reference: 5 rules; allowed: 4, as the scores"):
        rk.select(s, 2, "static", reference=other)
    with pytest.raises(ValueError, match="give both reference and preference"):
        rk.select(s, 2, "max_discrepancy", reference=s)
    assert rk.select(s, 2, "static", reference=s, preference=np.ones(3)).indices.dtype == np.int32


def test_random_rules_follow_the_seed():
    s = random_scores(50, 6, 46)
    found = [rk.select(s, 2, "random", seed=seed).indices for seed in (1, 1, 2)]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
