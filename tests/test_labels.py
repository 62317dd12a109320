"""Label models and the audit of rules: known answers, ties, calibration, error rates."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.labels import TIE_POLICIES, label_methods
from rulekit.measures import calibration, confidence
from rulekit.selection import sign_audit_errors
from rulekit.theory.gaussian import gaussian_log_odds
from rulekit.theory.simulation import simulate
from tests.oracles import audit_errors, one_coin_posterior
from tests.selection.drawn import planted, random_model, random_scores


def test_a_margin_lost_in_rounding_is_a_tie():
    s = rk.Scores([[0.3, 0.1, 0.2], [0.3, 0.1, 0.3]], [[0.0, 0.3, 0.3], [0.0, 0.3, 0.3]])
    every = rk.select(s, 3, "all")
    found = rk.label(s, every)
    assert found.preference.tolist() == [0, 1]
    assert np.isnan(found.target[0])
    assert found.target[1] == 1
    assert rk.label(s, every, tie="soft").target[0] == 0.5
    assert rk.label(s, every, tie="drop").index.tolist() == [1]


def test_confidence_is_the_posterior_of_the_vote_model():
    s = rk.Scores([[0.5, 0.5]], [[-0.5, 0.0]])
    found = rk.label(s, rk.select(s, 2), beta=2.0)
    assert found.confidence[0] == pytest.approx(1 / (1 + np.exp(-2 * 1.5)))


def test_weighted_label_of_a_fixed_choice_is_the_log_odds_of_these_rules_and_calibrated():
    s = simulate("shared_noise", 20_000, 40, seed=8)
    e = rk.Estimates(s.mu, s.cov, 0, "known")
    chosen = rk.select(s.scores, 6, "discriminant", estimates=e)
    found = rk.label(s.scores, chosen, "weighted", "soft", estimates=e)
    expected = gaussian_log_odds(s.scores.discrepancy, s.mu, s.cov, chosen.indices[0])
    assert found.margin == pytest.approx(expected, abs=1e-4)
    table = calibration(*confidence(found.target, s.preference))
    assert table["n"].sum() == 20_000
    assert (table["gap"].abs() < 0.03).all()


def test_dawid_skene_beats_the_majority_that_stands_beside_it():
    s, y = planted(3000, np.array([0.95, 0.9, *[0.55] * 7]), 17)
    found = rk.label(s, rk.select(s, 9, "all"), "dawid_skene")
    assert (found.preference == y).mean() > 0.94
    assert 0.7 < (found.majority == y).mean() < 0.9
    assert rk.label(s, rk.select(s, 9, "all"), "majority").majority is None


def test_dawid_skene_reads_the_chosen_rules_only_and_survives_one_class_and_no_vote():
    delta = np.array([[1.0, 1, 1, -1, -1, -1], [0.5, 1, -1, -1, -1, -1], [0, 0, 0, -1, -1, -1]])
    s = rk.Scores.from_discrepancy(delta)
    chosen = rk.Selection(np.tile([0, 1, 2], (3, 1)), "mine", 6)
    assert rk.label(s, chosen, "dawid_skene").preference.tolist() == [1, 1, 0]


def test_majority_counts_votes_and_not_their_size():
    s = rk.Scores.from_discrepancy([[1.0, -0.1, -0.1], [1.0, -0.1, 0.0]])
    every = rk.select(s, 3, "all")
    assert rk.label(s, every, "majority").preference.tolist() == [-1, 0]
    assert rk.label(s, every).preference.tolist() == [1, 1]


@pytest.mark.parametrize("method", label_methods())
@pytest.mark.parametrize("tie", TIE_POLICIES)
def test_every_label_model_keeps_the_tie_policies(method, tie):
    s = rk.Scores.from_discrepancy([[0.5] * 3, [0.0] * 3, [-0.5] * 3, [0.5] * 3])
    e = rk.Estimates(np.full(3, 0.3), np.eye(3), 0, "given")
    found = rk.label(s, rk.select(s, 3, "all"), method, tie, estimates=e)
    assert found.index.tolist() == ([0, 2, 3] if tie == "drop" else [0, 1, 2, 3])
    assert found.preference.tolist() == ([1, -1, 1] if tie == "drop" else [1, 0, -1, 1])
    assert ((found.confidence >= 0.5) & (found.confidence <= 1)).all()
    if tie == "abstain":
        assert np.isnan(found.target[1])
    if tie == "soft":
        assert found.target[1] == 0.5
        assert 0.5 < found.target[0] <= 1


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


@pytest.mark.parametrize("method", ["majority", "dawid_skene"])
def test_a_discrepancy_within_rounding_of_zero_is_no_vote_of_a_label(method):
    for size, first in ((4e-7, -1), (6e-7, 1)):
        s = rk.Scores.from_discrepancy([[size, size, -0.5], [0.5, 0.5, 0.5], [size, 0.0, 0.0]])
        found = rk.label(s, rk.select(s, 3, "all"), method)
        assert found.preference.tolist() == [first, 1, int(first > 0)]
    assert found.margin[0] > 0


def test_a_discrepancy_within_rounding_of_zero_adds_no_evidence_to_a_weighted_label():
    e = rk.Estimates(np.ones(2), np.eye(2), 0, "given", power=0.5)
    for size, expected in ((4e-7, 0.0), (6e-7, 2 * 6e-7**0.5)):
        s = rk.Scores.from_discrepancy([[size, 0.0]])
        for chosen in (rk.select(s, 2, "all"), rk.select(s, 2)):
            margin = rk.label(s, chosen, "weighted", estimates=e).margin
            assert margin == pytest.approx([expected], rel=1e-6)


def test_a_discrepancy_within_rounding_of_zero_is_no_vote_of_the_audit():
    delta = np.tile([4e-7, 6e-7, -4e-7, -6e-7], (9, 1))
    found = rk.sign_audit(rk.Scores.from_discrepancy(delta), np.ones(9))
    assert found["votes"].to_list() == [0, 9, 0, 9]
    assert found["flagged"].to_list() == [False, False, False, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, e: rk.label(s, rk.select(s, 2), "vote"), "unknown method 'vote'"),
        (lambda s, e: rk.label(s, rk.select(s, 2), tie="first"), "unknown tie policy 'first'"),
        (lambda s, e: rk.label(s, rk.select(s.rows([0]), 2)), "the selection is of 1 pairs"),
        (lambda s, e: rk.label(s, rk.select(s, 2), "weighted"), "needs estimates"),
        (
            lambda s, e: rk.label(s, rk.select(s, 2), "weighted", estimates=random_model(3, 0)),
            "estimates: 3 rules",
        ),
        (lambda s, e: sign_audit_errors([0.4], 30, repeats=0), "repeats is 0"),
        (lambda s, e: rk.sign_audit(s, [0, 0, 0]), "no preference of the reference is known"),
        (lambda s, e: rk.sign_audit(s, [1, 1, 1], rate=0), "rate is 0"),
        (lambda s, e: rk.sign_audit(s, [1, 2, 1]), "preference holds other values"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(random_scores(3, 4, 0), random_model(4, 1))
    assert message in str(error.value)


def test_a_sum_is_a_tie_up_to_its_rounding_and_no_further():
    def preference(margin: float, k: int, method: str = "sum", e=None) -> int:
        delta = np.zeros((1, k))
        delta[0, 0] = margin
        s = rk.Scores.from_discrepancy(delta)
        every = rk.select(s, k, "all")
        return int(rk.label(s, every, method, estimates=e).preference[0])

    assert [preference(x, 1) for x in (4e-7, 7e-7, -7e-7)] == [0, 1, -1]
    assert [preference(x, 4) for x in (1.9e-6, 2.1e-6, -2.1e-6)] == [0, 1, -1]
    # The weight of a unit is 2 · 3: what a discrepancy of 7e-7 weighs is past 5e-7 of each.
    e = rk.Estimates(np.full(2, 3.0), np.eye(2), 0, "given")
    assert [preference(x, 2, "weighted", e) for x in (9e-7, 1.1e-6)] == [0, 1]


@pytest.mark.parametrize("fixed", [True, False])
def test_one_pair_is_weighted_by_its_own_choice(fixed):
    e = random_model(4, 20)
    s = rk.Scores.from_discrepancy([[0.5, -0.25, 1.0, 0.75]])
    chosen = rk.Selection(np.array([[2, 0]]), "mine", 4, fixed=fixed)
    w = e.weights([2, 0]) if fixed else e.weights()[[2, 0]]
    found = rk.label(s, chosen, "weighted", estimates=e)
    assert found.margin == pytest.approx([w[0] * 1.0 + w[1] * 0.5])


@pytest.mark.parametrize(
    ("accuracy", "n", "rate"),
    [
        ([0.2, 0.4, 0.5, 0.6, 0.45], 20, 0.3),
        ([0.3, 0.1], 12, 0.2),
        ([0.7, 0.5, 0.55], 9, 0.9),
        ([0.4], 1, 0.6),
    ],
)
def test_error_rates_of_the_audit_equal_the_plain_twin(accuracy, n, rate):
    rows = audit_errors(accuracy, n, rate, 40, 3)
    found = sign_audit_errors(accuracy, n, rate, 40, 3)
    names = ["false_discovery", "missed", "false_alarm"]
    assert [found.pop(name) for name in names] == pytest.approx(rows.mean(axis=0).tolist())
    spread = [found.pop(f"{name}_se") for name in names]
    assert spread == pytest.approx((rows.std(axis=0, ddof=1) / np.sqrt(40)).tolist())
    assert not found


def test_rules_that_are_always_right_or_wrong_are_told_apart_without_an_error():
    found = sign_audit_errors([0, 0, 1, 1, 1], 30, repeats=2)
    assert found.pop("false_alarm_se") == 0
    assert set(found.values()) == {0.0}


def test_one_audit_has_errors_and_no_standard_error_and_two_have_one():
    one, two = (sign_audit_errors([0.45] * 4, 10, 0.5, repeats) for repeats in (1, 2))
    assert np.isnan([one[f"{n}_se"] for n in ("false_discovery", "missed", "false_alarm")]).all()
    assert 0 <= one["missed"] <= 1
    assert np.isfinite(list(two.values())).all()


def test_a_lone_even_rule_is_flagged_as_often_as_the_binomial_says():
    # At rate 0.1 and 20 pairs it is flagged up to 6 right votes: P = 0.0577.
    found = sign_audit_errors([0.5], 20, repeats=300, seed=4)
    assert abs(found["false_alarm"] - 0.0577) < 3 * found["false_alarm_se"]
    assert found["missed"] == 0
    assert found["false_discovery"] == found["false_alarm"]


def test_what_no_audit_can_be_simulated_from_is_refused():
    for accuracy, n in (([[0.5]], 9), ([-0.1], 9), ([1.1], 9), ([np.nan], 9), ([0.5], 0)):
        with pytest.raises(ValueError, match=r"\(n_rules,\) in \[0, 1\]; n_labelled: 1 or more"):
            sign_audit_errors(accuracy, n)


def test_a_rule_on_the_very_rate_is_flagged():
    s = rk.Scores.from_discrepancy(-np.ones((3, 1)))
    for rate, flagged in ((0.125, True), (0.1249, False)):  # P(no right vote of three) = 1/8
        assert rk.sign_audit(s, np.ones(3), rate)["flagged"].to_list() == [flagged]


@pytest.mark.parametrize("beta", [0.0, -1.0, np.inf, np.nan])
def test_a_slope_of_the_confidence_that_is_no_positive_number_is_refused(beta):
    s = random_scores(3, 4, 0)
    with pytest.raises(ValueError, match="allowed: a positive number"):
        rk.label(s, rk.select(s, 2), beta=beta)


@pytest.mark.parametrize("tie", TIE_POLICIES)
def test_labels_say_their_policy_and_hold_preferences_as_small_whole_numbers(tie):
    s = random_scores(5, 4, 1)
    found = rk.label(s, rk.select(s, 4, "all"), "dawid_skene", tie)
    assert found.tie == tie
    assert (found.preference.dtype, found.majority.dtype) == (np.int8, np.int8)
    plain = rk.label(s, rk.select(s, 4, "all"), "majority").preference
    assert (found.majority == plain[found.index]).all()


def test_dawid_skene_needs_three_rules_that_vote():
    """One rule of accuracy .6 would else have a confidence of 1 - 1e-9."""
    s, _ = planted(300, np.array([0.6, 0.7, 0.8]), 22)
    for rules in ([0], [0, 2]):
        chosen = rk.Selection(np.tile(rules, (300, 1)), "mine", 3)
        with pytest.raises(ValueError, match="three rules or more that vote on the same pairs"):
            rk.label(s, chosen, "dawid_skene")
    with pytest.raises(ValueError, match="three rules or more that vote on the same pairs"):
        rk.label(s, rk.select(s, 1, "random"), "dawid_skene")
    found = rk.label(s, rk.select(s, 3, "all"), "dawid_skene", "soft")
    assert found.confidence.max() < 0.999


def test_dawid_skene_labels_have_the_log_odds_of_the_posterior_at_convergence():
    s, _ = planted(250, np.array([0.9, 0.8, 0.75, 0.7]), 23)
    found = rk.label(s, method="dawid_skene", tie="soft")
    q = one_coin_posterior(s.votes)
    assert found.target == pytest.approx(q, abs=1e-6)
    assert found.margin == pytest.approx(np.log(q / (1 - q)), abs=1e-4)
