"""What the theory says nothing about is refused by name."""

import numpy as np
import pytest

from rulekit import theory

ROW = np.ones((1, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.vote_information([0.5, 1.2]), "accuracy of rule 1 is 1.2; allowed: 0 to 1"),
        (lambda: theory.vote_information([np.nan]), "accuracy of rule 0 is nan"),
        (lambda: theory.vote_information([]), "accuracy has shape (0,)"),
        (lambda: theory.vote_information([0.6], 1.5), "prior is 1.5; allowed: 0 to 1"),
        (lambda: theory.vote_information([0.6], unit="dB"), "unknown unit 'dB'; allowed: bits"),
        (lambda: theory.vote_information([0.6], method="mc"), "unknown method 'mc'; allowed: auto"),
        (lambda: theory.vote_information([0.6] * 21, method="enumerate"), "21 rules; allowed: 20"),
        (lambda: theory.vote_information([0.6] * 50, tolerance=1e-15), "lattice cells; allowed"),
        (lambda: theory.label_quality([0.6], "best"), "unknown weights 'best'; allowed: majority"),
        (lambda: theory.label_quality([0.6], [1, 2]), "weights have shape (2,); allowed: (1,)"),
        (lambda: theory.best_subset([0.6, 0.7], 3), "k is 3; allowed: 1 to 2"),
        (lambda: theory.gaussian_accuracy([1, 1], np.ones((2, 2))), "not positive definite"),
        (lambda: theory.gaussian_accuracy([1.0], np.eye(2)), "mu and cov have shapes"),
        (lambda: theory.gaussian_accuracy([1, 1], np.eye(2), subset=[2]), "allowed: distinct"),
        (lambda: theory.best_subset([0.6, 0.7], 1.5), "k is 1.5; allowed: 1 to 2"),
        (lambda: theory.best_gaussian_subset([1, 1], np.eye(2), 1.5), "k is 1.5; allowed: 1 to 2"),
        (lambda: theory.best_gaussian_subset([1, 1], np.eye(2), "2"), "k is '2'; allowed: 1 to 2"),
        (lambda: theory.best_gaussian_subset([1, 1], np.eye(2), 3), "k is 3; allowed: 1 to 2"),
        (lambda: theory.log_odds_selection(ROW, [1, 1], np.eye(2), 1.5), "k is 1.5; allowed"),
        (lambda: theory.log_odds_selection(ROW, [1, 1], np.eye(2), True), "k is True; allowed"),
        (lambda: theory.log_odds_selection(ROW, [1, 1], np.eye(2), "2"), "k is '2'; allowed"),
        (
            lambda: theory.log_odds_selection(ROW * np.nan, [1, 1], np.eye(2), 1),
            "delta, row 0, rule",
        ),
        (
            lambda: theory.log_odds_selection(ROW[:, :1], [1, 1], np.eye(2), 1),
            "allowed: (n_pairs, 2)",
        ),
        (
            lambda: theory.log_odds_selection(ROW, [1, 1], np.diag([1, 0]), 1),
            "cov of rule 1 is 0.0",
        ),
        (lambda: theory.log_odds_selection(ROW, [1, np.nan], np.eye(2), 1), "allowed: finite"),
        (lambda: theory.gaussian_log_odds(ROW * np.nan, [1, 1], np.eye(2)), "row 0, rule 0 is nan"),
        (lambda: theory.gaussian_log_odds(ROW[:, :1], [1, 1], np.eye(2)), "allowed: (n_pairs, 2)"),
        (lambda: theory.gaussian_information([1, 1], np.eye(2), unit="dB"), "unknown unit 'dB'"),
        (lambda: theory.simulate("equal", n_pairs=1.5), "n_pairs is 1.5; allowed: 1 or more"),
        (lambda: theory.simulate("loud"), "unknown regime 'loud'; allowed: equal, sparse"),
        (lambda: theory.simulate("equal", n_rules=5), "n_rules is 5; allowed: 20 or more"),
        (lambda: theory.exact_information([[0]], [[0.4, 0.4]]), "with sum 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call()
    assert message in str(error.value)
