"""What no estimate can be made of is refused, naming value and place."""

import numpy as np
import pytest

import rulekit as rk
from tests.information.drawn import planted

info = rk.information


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v, y: info.mutual_information([0.1, np.nan], [0, 1]), "x, row 1 is NaN"),
        (lambda v, y: info.mutual_information([0, 1], [0, np.nan]), "y, row 1 is NaN"),
        (lambda v, y: info.mutual_information([0.5, np.inf], [0, 1]), "x, row 1 is infinite"),
        (lambda v, y: info.mutual_information(["a", None], [0, 1]), "x, row 1 is None"),
        (lambda v, y: info.mutual_information([0, 1], [0, 1, 1]), "y has 3 values; allowed: 2"),
        (lambda v, y: info.mutual_information([], []), "x has shape (0,)"),
        (
            lambda v, y: info.mutual_information(y, y, "nsb"),
            "unknown estimator 'nsb'; allowed: auto",
        ),
        (lambda v, y: info.mutual_information(y, y, unit="hartley"), "unknown unit 'hartley'"),
        (lambda v, y: info.mutual_information(y / 3, y, "ross"), "ross has no meaning on atoms"),
        (
            lambda v, y: info.mutual_information(y / 3, y / 7, "ksg"),
            "x has 30 values that occur more than once; ksg has no meaning",
        ),
        (lambda v, y: info.mutual_information(y / 3, y / 7, "ross"), "both continuous"),
        (lambda v, y: info.mutual_information(y / 3, y, k=0), "k is 0; allowed: 1 or more"),
        (lambda v, y: info.mutual_information([0.5, 0.1], [0, 1]), "y has one row in every class"),
        (
            lambda v, y: info.mutual_information(y / 3, y, weights=np.eye(30)[0] + 1e-3),
            "weights leave 1.0 rows (their sum over the largest); allowed",
        ),
        (lambda v, y: info.mutual_information(y, y, k=1.5), "k is 1.5; allowed: 1 or more"),
        (lambda v, y: info.mutual_information(y / 3, y, k="2"), "k is '2'; allowed: 1 or more"),
        (
            lambda v, y: info.mutual_information(y / 3, y / 7, k=True),
            "k is True; allowed: 1 or more",
        ),
        (lambda v, y: info.rule_information(v / 3, y, k=1.5), "k is 1.5; allowed: 1 or more"),
        (lambda v, y: info.mutual_information(y, y, discrete=True), "discrete is True; allowed"),
        (lambda v, y: info.mutual_information(y, y, ["plugin"]), "unknown estimator ['plugin']"),
        (
            lambda v, y: info.mutual_information(np.ma.array(y, mask=y > 0), y),
            "is masked; allowed: values",
        ),
        (
            lambda v, y: info.mutual_information(np.array(["NaT"] * 30, "datetime64[s]"), y),
            "x, row 0 is NaT",
        ),
        (lambda v, y: info.mutual_information(y.astype(str), y / 7, "ksg"), "x holds <U"),
        (
            lambda v, y: info.rule_mutual_information(np.ma.array(v, mask=v > 0), y),
            "is masked; allowed: -1, 0 and +1",
        ),
        (
            lambda v, y: info.rule_mutual_information(v, np.ma.array(y, mask=y > 0)),
            "is masked; allowed: -1, 0 and +1",
        ),
        (
            lambda v, y: info.permutation_test(np.ma.array(v / 3, mask=v > 0), y),
            "is masked; allowed: finite values",
        ),
        (
            lambda v, y: info.rule_mutual_information(np.where(v > 0, None, v), y),
            "is None; allowed: -1, 0 and +1",
        ),
        (
            lambda v, y: info.conditional_information(np.linspace(0, 1, 30), y, np.arange(30) == 4),
            "where given is True: y has one row in every class",
        ),
        (
            lambda v, y: info.conditional_information(
                np.linspace(0, 1, 30), np.linspace(0, 1, 30) ** 2, np.arange(30) == 4
            ),
            "where given is True: x has one row; allowed: two or more",
        ),
        (lambda v, y: info.interval(info.entropy, v[:, 0] * np.nan), "x, row 0 is NaN"),
        (lambda v, y: info.interval(info.entropy, y, n=0), "n is 0; allowed: 1 or more"),
        (lambda v, y: info.interval(info.entropy, y, level=95), "level is 95; allowed"),
        (lambda v, y: info.interval(info.entropy, y[:3]), "3 rows; allowed: 4 or more"),
        (lambda v, y: info.p_value(info.entropy, y, y), "unknown estimator array("),
        (lambda v, y: info.p_value(info.mutual_information, y, y, n=1.5), "n is 1.5; allowed"),
        (
            lambda v, y: info.bootstrap_interval(y / 3, y, "nsb"),
            "unknown estimator 'nsb'; allowed: auto, plugin",
        ),
        (lambda v, y: info.mutual_information(y, y, weights=y), "weights: allowed: non-negative"),
        (lambda v, y: info.conditional_information(y, y, y / 3), "given is continuous"),
        (lambda v, y: info.rule_mutual_information(v * 2, y), "votes, row 0, rule 0 is"),
        (lambda v, y: info.rule_mutual_information(v * np.nan, y), "votes, row 0, rule 0 is nan"),
        (lambda v, y: info.rule_mutual_information(v, y * 3), "preference, row 0"),
        (
            lambda v, y: info.rule_mutual_information(v, y[:4]),
            "preference has shape (4,); allowed: (30,)",
        ),
        (lambda v, y: info.rule_mutual_information(v, y, "ross"), "unknown estimator 'ross'"),
        (lambda v, y: info.redundancy_matrix(v[:, 0]), "votes have shape (30,)"),
        (lambda v, y: info.permutation_test(v + np.nan, y), "votes, row 0, rule 0 is nan"),
        (lambda v, y: info.permutation_test(v, y, n=0), "n is 0"),
        (lambda v, y: info.bootstrap_interval(v, y, level=95), "level is 95"),
        (lambda v, y: info.benjamini_hochberg([0.1, 1.5]), "p: allowed: 0 to 1"),
        (lambda v, y: info.rule_information(v, y, ["a"]), "rule_ids: 1 ids; allowed: 3"),
        (lambda v, y: info.redundancy_clusters(v, 2), "threshold is 2"),
        (lambda v, y: info.effective_rules(), "either votes or correlation"),
        (lambda v, y: info.effective_rules(v * 0), "every rule always votes alike"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    votes, y = planted(30, 3, abstain=0.0)
    with pytest.raises(ValueError, match=r".*") as error:
        call(votes, y)
    assert message in str(error.value)
