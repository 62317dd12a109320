"""Selectors, estimates, label models and the audit: known answers, plain twins, planted truth."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import rulekit as rk
from rulekit.information import mutual_information
from rulekit.labels import TIE_POLICIES, label_methods, sign_audit_errors
from rulekit.measures import calibration
from rulekit.selection import criteria
from rulekit.selection.estimates import estimators
from rulekit.selection.selectors import _SELECTORS
from rulekit.studies import comparison as board
from rulekit.theory.gaussian import gaussian_log_odds
from rulekit.theory.simulation import REGIMES, simulate
from tests.oracles import top_k

FIXED = {"all", "cmim", "discriminant", "frugal", "greedy_cmi", "jmi", "mrmr", "static"}


def random_model(m: int, seed: int) -> rk.Estimates:
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((m, m + 3))
    return rk.Estimates(rng.standard_normal(m), mix @ mix.T / m + 0.1 * np.eye(m), 7, "drawn")


def random_scores(n: int, m: int, seed: int) -> rk.Scores:
    rng = np.random.default_rng(seed)
    delta = rng.uniform(-1, 1, (n, m)) * rng.choice([0, 1], (n, m))
    return rk.Scores.from_discrepancy(delta, rng.integers(11, size=(n, m)) / 10)


def planted(n: int, accuracy, seed: int = 0) -> tuple[rk.Scores, np.ndarray]:
    """Votes ±1 of independent rules, and Y."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    right = rng.random((n, len(accuracy))) < accuracy
    return rk.Scores.from_discrepancy(np.where(right, y[:, None], -y[:, None])), y


# Selectors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(_SELECTORS))
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


def test_dpp_is_the_greedy_determinant():
    size = np.abs(np.random.default_rng(7).standard_normal((6, 7)))
    rho = criteria.correlation(random_model(7, 8).cov)
    found = criteria.determinantal(size, rho, 4)
    for q, row in zip(size, found, strict=True):
        kernel = q[:, None] * rho * q
        picked = []
        for _ in range(4):
            gain = [
                -1.0 if j in picked else np.linalg.det(kernel[np.ix_([*picked, j], [*picked, j])])
                for j in range(7)
            ]
            picked.append(int(np.argmax(gain)))
        assert row.tolist() == picked


def test_discriminant_adds_the_rule_that_adds_most_by_brute_force():
    e = random_model(10, 9)

    def evidence(subset):
        return e.mu[subset] @ np.linalg.solve(e.cov[np.ix_(subset, subset)], e.mu[subset])

    picked = []
    for j in criteria.discriminant(e.mu, e.cov, 10).tolist():
        others = [i for i in range(10) if i not in picked]
        assert j == max(others, key=lambda i: evidence([*picked, i]))
        picked.append(j)


def test_discriminant_of_one_rule_and_of_independent_rules_is_the_best_subset():
    rng = np.random.default_rng(10)
    independent = rk.Estimates(rng.standard_normal(8), np.diag(rng.uniform(0.2, 2, 8)), 0, "drawn")
    for e, k in ((random_model(8, 11), 1), (independent, 3)):
        best = max(
            combinations(range(8), k),
            key=lambda s: e.mu[list(s)] @ np.linalg.solve(e.cov[np.ix_(s, s)], e.mu[list(s)]),
        )
        assert sorted(criteria.discriminant(e.mu, e.cov, k).tolist()) == list(best)


def test_pairwise_information_criteria_equal_their_formulas_from_plain_tables():
    rng = np.random.default_rng(10)
    y = rng.choice([-1, 1], 400)
    votes = np.where(rng.random((400, 5)) < [0.8, 0.75, 0.7, 0.65, 0.6], y[:, None], -y[:, None])
    votes[:, 1] = np.where(rng.random(400) < 0.9, votes[:, 0], votes[:, 1])
    votes = votes * rng.choice([0, 1, 1], (400, 5))
    v, z = np.vstack([votes, -votes]), np.concatenate([y, -y])

    def info(a, b):
        return mutual_information(a, b, "plugin", "nats")

    def code(a, b):
        return 3 * a + b

    def greedy(criterion):
        picked = []
        for _ in range(4):
            gain = [-9.0 if j in picked else criterion(j, picked) for j in range(5)]
            picked.append(int(np.argmax(gain)))
        return picked

    def joint(j, s):
        return info(code(v[:, s], v[:, j]), z)

    def conditional(j, s):
        return joint(j, s) - info(v[:, s], z)

    single = [info(v[:, j], z) for j in range(5)]
    formulas = {
        "static": lambda j, p: single[j],
        "mrmr": lambda j, p: single[j] - (np.mean([info(v[:, j], v[:, s]) for s in p]) if p else 0),
        "jmi": lambda j, p: sum(joint(j, s) for s in p) if p else single[j],
        "cmim": lambda j, p: min(conditional(j, s) for s in p) if p else single[j],
    }
    for method, criterion in formulas.items():
        assert criteria.greedy_information(votes, y, 4, method).tolist() == greedy(criterion)


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


# Estimates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [m for m in estimators() if m not in ("dawid_skene", "mixture")])
def test_independent_rules_get_their_planted_means(method):
    s = simulate("sparse", 8000, 30, seed=1)
    e = rk.estimate(
        s.scores, s.preference if method in ("bradley_terry", "moments") else None, method
    )
    error = np.abs(e.mu - s.mu) / np.sqrt(np.diag(s.cov))
    assert error.max() < 0.12
    assert np.diag(e.cov) == pytest.approx(np.diag(s.cov), rel=0.15)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_mixture_finds_every_regime_without_a_label(regime):
    s, unseen = simulate(regime, 5000, seed=2), simulate(regime, 5000, seed=3)
    e = rk.estimate(s.scores)
    assert (e.source, e.n_labelled) == ("mixture", 0)
    best = norm.cdf(np.sqrt(s.mu @ np.linalg.solve(s.cov, s.mu)))
    margin = e.transform(unseen.scores.discrepancy) @ e.weights()
    assert (np.sign(margin) == unseen.preference).mean() > best - 0.02


def test_shared_noise_misleads_the_principal_component_and_not_the_mixture():
    s = simulate("shared_noise", 5000, seed=4)
    hit = {}
    for method in ("principal", "mixture"):
        e = rk.estimate(s.scores, method=method)
        margin = e.transform(s.scores.discrepancy) @ e.weights()
        hit[method] = (np.sign(margin) == s.preference).mean()
    assert hit["principal"] < 0.7
    assert hit["mixture"] > 0.95


def test_labels_turn_a_rule_set_that_is_wrong_in_sum():
    s, y = planted(2000, np.full(10, 0.25), 14)
    known = np.where(np.arange(2000) < 60, y, 0)
    for method in ("bradley_terry", "mixture", "moments", "dawid_skene"):
        e = rk.estimate(s, known, method)
        assert (e.mu < 0).all()
        assert e.n_labelled == 60
    assert (rk.estimate(s).mu > 0).all()  # without a label nothing can tell


def test_the_exchange_of_responses_changes_no_estimate():
    s = simulate("unequal_noise", 600, 20, seed=5)
    known = np.where(np.arange(600) < 80, s.preference, 0)
    flip = np.random.default_rng(15).choice([-1, 1], 600)
    turned = rk.Scores.from_discrepancy(s.scores.discrepancy * flip[:, None])
    for method in estimators():
        one, two = rk.estimate(s.scores, known, method), rk.estimate(turned, known * flip, method)
        assert one.mu == pytest.approx(two.mu, abs=1e-5)


def test_few_labels_do_not_spoil_what_agreement_tells():
    unseen = simulate("sparse", 4000, seed=7)
    s = simulate("sparse", 3000, seed=6)
    hits = []
    for n in (0, 5, 30):
        e = rk.estimate(s.scores, np.where(np.arange(3000) < n, s.preference, 0))
        margin = e.transform(unseen.scores.discrepancy) @ e.weights()
        hits.append((np.sign(margin) == unseen.preference).mean())
    assert min(hits) > 0.97


def test_a_rule_that_never_votes_is_estimated_without_weight():
    s, y = planted(300, np.array([0.8, 0.7, 0.75, 0.6]), 16)
    delta = s.discrepancy
    delta[:, 2] = 0
    for method in estimators():
        e = rk.estimate(rk.Scores.from_discrepancy(delta), y, method)
        assert np.isfinite(e.weights()).all()
        assert abs(e.weights()[2]) < 1e-6


# Labels ------------------------------------------------------------------------------------------


def test_weighted_label_of_a_fixed_choice_is_the_log_odds_of_these_rules_and_calibrated():
    s = simulate("shared_noise", 20_000, 40, seed=8)
    e = rk.Estimates(s.mu, s.cov, 0, "known")
    chosen = rk.select(s.scores, 6, "discriminant", estimates=e)
    found = rk.label(s.scores, chosen, "weighted", "soft", estimates=e)
    expected = gaussian_log_odds(s.scores.discrepancy, s.mu, s.cov, chosen.indices[0])
    assert found.margin == pytest.approx(expected, abs=1e-4)
    table = calibration(found.target, s.preference)
    assert table["n"].sum() == 20_000
    assert (table["gap"].abs() < 0.03).all()


def test_calibration_of_known_cases():
    table = calibration([0.9] * 10 + [0.4] * 10, [1] * 9 + [-1] + [-1] * 6 + [1] * 4, bins=2)
    assert table["confidence"].to_list() == pytest.approx([0.6, 0.9])
    assert table["accuracy"].to_list() == pytest.approx([0.6, 0.9])
    with pytest.raises(ValueError, match="outcomes -1 and"):
        calibration([0.5], [0])


def test_dawid_skene_beats_the_majority_that_stands_beside_it():
    s, y = planted(3000, np.array([0.95, 0.9, *[0.55] * 7]), 17)
    found = rk.label(s, rk.select(s, 9, "all"), "dawid_skene")
    assert (found.preference == y).mean() > 0.94
    assert 0.7 < (found.majority == y).mean() < 0.9
    assert rk.label(s, rk.select(s, 9, "all"), "majority").majority is None


def test_dawid_skene_reads_the_chosen_rules_only_and_survives_one_class_and_no_vote():
    s = rk.Scores.from_discrepancy([[1.0, -1.0], [0.5, -1.0], [0.0, -1.0]])
    chosen = rk.Selection(np.zeros((3, 1), int), "mine", 2)
    assert rk.label(s, chosen, "dawid_skene").preference.tolist() == [1, 1, 0]


def test_majority_counts_votes_and_not_their_size():
    s = rk.Scores.from_discrepancy([[1.0, -0.1, -0.1], [1.0, -0.1, 0.0]])
    every = rk.select(s, 3, "all")
    assert rk.label(s, every, "majority").preference.tolist() == [-1, 0]
    assert rk.label(s, every).preference.tolist() == [1, 1]


@pytest.mark.parametrize("method", label_methods())
@pytest.mark.parametrize("tie", TIE_POLICIES)
def test_every_label_model_keeps_the_tie_policies(method, tie):
    s = rk.Scores.from_discrepancy([[0.5, 0.5], [0.0, 0.0], [-0.5, -0.5], [0.5, 0.5]])
    e = rk.Estimates(np.array([0.3, 0.3]), np.eye(2), 0, "given")
    found = rk.label(s, rk.select(s, 2, "all"), method, tie, estimates=e)
    assert found.index.tolist() == ([0, 2, 3] if tie == "drop" else [0, 1, 2, 3])
    assert found.preference.tolist() == ([1, -1, 1] if tie == "drop" else [1, 0, -1, 1])
    assert ((found.confidence >= 0.5) & (found.confidence <= 1)).all()
    if tie == "abstain":
        assert np.isnan(found.target[1])
    if tie == "soft":
        assert found.target[1] == 0.5
        assert 0.5 < found.target[0] <= 1


# Audit -------------------------------------------------------------------------------------------


def test_the_audit_gives_the_beta_posterior_and_flags_reversed_rules():
    delta = np.ones((8, 3))
    delta[:, 1] = -1
    delta[:, 2] = 0
    found = rk.sign_audit(rk.Scores.from_discrepancy(delta), np.ones(8), prior=1.0)
    assert found["votes"].to_list() == [8, 8, 0]
    assert found["p_reversed"].to_list() == pytest.approx([0.5**9, 1 - 0.5**9, 0.5])
    assert found["p_value"].to_list() == pytest.approx([1.0, 0.5**8, 1.0])
    assert found["flagged"].to_list() == [False, True, False]
    assert np.isnan(found["agreement"][2])


@pytest.mark.parametrize(("n", "missed"), [(30, 0.9), (100, 0.2), (300, 0.01)])
def test_the_audit_keeps_its_false_discovery_rate_and_misses_less_with_more_labels(n, missed):
    accuracy = np.array([0.3] * 10 + [0.5] * 60 + [0.6] * 30)
    found = sign_audit_errors(accuracy, n, rate=0.1, repeats=100, seed=1)
    assert found["false_discovery"] < 0.1 + 3 * found["false_discovery_se"]
    assert found["missed"] < missed


def test_the_audit_finds_the_reversed_regime():
    s = simulate("reversed", 300, seed=9)
    flagged = rk.sign_audit(s.scores, s.preference)["flagged"].to_numpy()
    assert (flagged == (s.mu < 0)).all()


# Board -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_reference", [1000, 5000])
def test_the_default_selector_keeps_to_its_aims_in_every_regime(n_reference):
    """Never 0.01 below {all, max_discrepancy, random}; within 0.03 of known log-odds at 100 labels."""
    methods = ("adaptive", "all", "max_discrepancy", "random")
    frame = board.board(
        labelled=(0, 30, 100, 1000),
        ks=(5,),
        methods=methods,
        n_reference=n_reference,
        n_test=5000,
        seeds=(0, 1),
    )
    gaps = board.adaptive_gaps(frame)
    assert gaps.height == 20
    assert (gaps["over_plain"] - gaps["over_plain_se"]).min() > -0.01
    hard = gaps.filter(
        (pl.col("labelled") == 100)
        & pl.col("regime").is_in(["sparse", "unequal_noise", "reversed"])
    )
    assert hard["over_known"].min() > -0.03


def test_the_board_runs_every_selector_and_omits_what_labels_must_decide():
    frame = board.board(["equal"], (0, 30), (3,), n_rules=20, n_reference=200, n_test=100)
    seen = {n: set(frame.filter(labelled=n)["selector"]) for n in (0, 30)}
    assert seen[30] == set(rk.selectors())
    assert seen[30] - seen[0] == {"cmim", "greedy_cmi", "jmi", "mrmr"}


@pytest.mark.real_data
def test_real_votes_known_rules_gain_over_the_sum_of_all():
    frame = board.votes_board(methods=("all", "frugal", "static"), splits=20)
    gain = {
        (n, s): g
        for n, s, g in frame.filter(label="weighted")["labelled", "selector", "gain"].rows()
    }
    aims = {0: 0.03, 30: 0.06, 100: 0.085, 900: 0.11}
    for n, aim in aims.items():
        assert gain[n, "all"] >= aim
        assert gain[n, "frugal"] >= gain[n, "all"] - 0.01  # five rules rated instead of 21
    assert set(frame.filter(pl.col("selector") != "all")["rated"]) == {5.0}


def test_confidence_of_labels_is_measured_on_unseen_pairs():
    table, bins = board.votes_calibration("embedded", 30, splits=2, bins=4)
    assert table["label"].to_list() == label_methods()
    assert bins.height <= 4 * len(label_methods())
    for name, mean, hit, error, n in table.rows():
        part = bins.filter(label=name)
        assert part["n"].sum() == n
        assert 0.5 <= mean <= 1
        assert 0 <= hit <= 1
        assert error >= abs(mean - hit) - 1e-9


def test_static_without_preferences_reads_the_reference_and_is_fixed_only_then():
    s, other = random_scores(50, 6, 20), random_scores(50, 6, 21)
    size = np.abs(other.discrepancy).mean(axis=0)
    found = rk.select(s, 2, "static", reference=other)
    assert found.indices[0].tolist() == np.argsort(-size, kind="stable")[:2].tolist()
    assert found.fixed
    assert not rk.select(s, 2, "static").fixed  # chosen by looking at these very pairs


# Bad input ---------------------------------------------------------------------------------------


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
            lambda s, e: rk.select(s, 2, "whitened", estimates=random_model(3, 0)),
            "estimates: 3 rules; allowed: 4",
        ),
        (lambda s, e: rk.label(s, rk.select(s, 2), "weighted"), "needs estimates"),
        (
            lambda s, e: rk.label(s, rk.select(s, 2), "weighted", estimates=random_model(3, 0)),
            "estimates: 3 rules",
        ),
        (lambda s, e: rk.estimate(s.rows([0])), "reference has 1 pairs; allowed: 2 or more"),
        (lambda s, e: rk.estimate(s, power=0.0), "power is 0.0"),
        (lambda s, e: board.board(["x"]), "regimes: x unknown; allowed: equal"),
        (lambda s, e: board.board(methods=["best"]), "methods: best unknown; allowed: adaptive"),
        (lambda s, e: board.board(labelled=(50,), n_reference=20), "labelled is [50]"),
        (lambda s, e: board.votes_board("embedded", splits=0), "splits is 0"),
        (lambda s, e: board.votes_board("embedded", dead_zone=-3), "dead_zone is -3"),
        (lambda s, e: board.votes_board("embedded", (10**6,), splits=1), "labelled is [1000000]"),
        (lambda s, e: sign_audit_errors([0.4], 30, repeats=0), "repeats is 0"),
        (lambda s, e: rk.estimate(s, method="best"), "unknown method 'best'; allowed: auto"),
        (lambda s, e: rk.estimate(s, method="moments"), "needs pairs with a known preference"),
        (lambda s, e: rk.estimate(s, [1, 2, 0]), "preference holds other values"),
        (lambda s, e: rk.estimate(s, [1, -1]), "preference has shape (2,); allowed: (3,)"),
        (lambda s, e: rk.estimate(rk.Scores(s.a, s.a)), "no rule has a discrepancy"),
        (lambda s, e: rk.Estimates(e.mu, -e.cov, 0, "x"), "cov is not positive definite"),
        (lambda s, e: rk.Estimates(e.mu * np.nan, e.cov, 0, "x"), "finite numbers"),
        (lambda s, e: rk.Estimates(e.mu[:2], e.cov, 0, "x"), "mu and cov have shapes (2,), (4, 4)"),
        (lambda s, e: rk.Estimates(e.mu, e.cov, 0, "x", 2.0), "power is 2.0"),
        (lambda s, e: rk.sign_audit(s, [0, 0, 0]), "no preference of the reference is known"),
        (lambda s, e: rk.sign_audit(s, [1, 1, 1], rate=0), "rate is 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(random_scores(3, 4, 0), random_model(4, 1))
    assert message in str(error.value)
