"""Estimates from counts: closed forms, scikit-learn, plain twins, corrections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

import rulekit as rk
from tests import oracles
from tests.information.drawn import planted

info = rk.information


def test_a_binary_symmetric_channel_has_one_less_the_binary_entropy():
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], 200_000)
    x = np.where(rng.random(len(y)) < 0.9, y, -y)
    for estimator in ("auto", "plugin", "miller_madow", "shrinkage"):
        found = info.mutual_information(x, y, estimator)
        assert found == pytest.approx(1 - 0.468996, abs=0.006)
    # counts that are exactly the channel's: no sampling error, so the plug-in is the truth
    x, y = np.repeat([1, 1, -1, -1], [9, 1, 1, 9]), np.repeat([1, -1, 1, -1], [9, 1, 1, 9])
    truth = np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1)
    assert info.mutual_information(x, y, "plugin", "nats") == pytest.approx(truth, abs=1e-12)


def test_plugin_equals_scikit_learn():
    votes, y = planted(3000, 5, zero=True)
    found = info.rule_mutual_information(votes, y, "plugin", "nats")
    assert found == pytest.approx([mutual_info_score(v, y) for v in votes.T], abs=1e-12)


def test_shrinkage_equals_its_plain_twin_and_ignores_values_that_never_occur():
    table = np.array([[12, 3, 1], [2, 9, 4]])
    x, y = (np.repeat(i, table.ravel()) for i in np.indices(table.shape).reshape(2, -1))
    found = info.mutual_information(x, y, "shrinkage", "nats")
    assert found == pytest.approx(oracles.shrinkage_information(table.astype(float)), abs=1e-12)
    votes, y = planted(40, 3, seed=4)
    one = [info.mutual_information(v, y, "shrinkage") for v in votes.T]
    assert info.rule_mutual_information(votes, y, "shrinkage") == pytest.approx(one, abs=1e-12)


def test_miller_madow_and_shrinkage_are_less_biased_than_the_plugin_under_independence():
    rng = np.random.default_rng(5)
    draws = [(rng.integers(4, size=60), rng.integers(3, size=60)) for _ in range(400)]
    mean = {
        e: np.mean([info.mutual_information(x, y, e, "nats") for x, y in draws])
        for e in ("plugin", "miller_madow", "shrinkage")
    }
    assert abs(mean["miller_madow"]) < 0.1 * mean["plugin"]
    assert mean["shrinkage"] < 0.3 * mean["plugin"]


def test_entropy_of_known_sources_and_the_miller_madow_term():
    x = np.repeat(["a", "b", "c", "d"], 25)
    assert info.entropy(x, "plugin") == pytest.approx(2)
    assert info.entropy(x, unit="nats") == pytest.approx(np.log(4) + 3 / 200)
    assert info.entropy(x, "shrinkage") == pytest.approx(2)


def test_conditional_and_joint_information_of_exclusive_or():
    a, b = np.repeat([-1, 1], 200), np.tile([-1, 1], 200)
    y = a * b
    votes = np.column_stack([a, b])
    assert info.rule_mutual_information(votes, y, "plugin") == pytest.approx([0, 0], abs=1e-12)
    assert info.conditional_information(a, y, b, "plugin") == pytest.approx(1)
    assert info.joint_information(votes, y, "plugin") == pytest.approx(1)
    matrix = info.joint_matrix(votes, y, "plugin")
    assert matrix == pytest.approx(np.array([[0, 1], [1, 0]]), abs=1e-12)


@pytest.mark.parametrize("estimator", ["plugin", "miller_madow"])
def test_the_chain_rule_holds(estimator):
    votes, y = planted(500, 3, seed=6, zero=True)
    whole = info.joint_information(votes[:, :2], y, estimator)
    first = info.mutual_information(votes[:, 0], y, estimator)
    second = info.conditional_information(votes[:, 1], y, votes[:, 0], estimator)
    assert whole == pytest.approx(first + second, abs=1e-12)
    matrix = info.joint_matrix(votes, y, estimator)
    assert matrix[0, 1] == pytest.approx(whole, abs=1e-12)
    assert np.diag(matrix) == pytest.approx(
        info.rule_mutual_information(votes, y, estimator), abs=1e-12
    )


def test_whole_weights_count_like_repeated_rows_but_for_the_corrections():
    votes, y = planted(300, 4, seed=8)
    weights = np.random.default_rng(8).integers(0, 4, 300)
    repeated, y_repeated = np.repeat(votes, weights, axis=0), np.repeat(y, weights)
    expected = info.rule_mutual_information(repeated, y_repeated, "plugin")
    assert info.rule_mutual_information(votes, y, "plugin", weights=weights) == pytest.approx(
        expected
    )
    one = info.mutual_information(votes[:, 1], y, "plugin", weights=weights)
    assert one == pytest.approx(expected[1])
    same = info.rule_mutual_information(votes, y, weights=np.full(300, 7.0))
    assert same == pytest.approx(info.rule_mutual_information(votes, y))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 9), st.integers(0, 10**6))
def test_popcount_tables_equal_counting_one_by_one(n, m, seed):
    rng = np.random.default_rng(seed)
    votes, y = rng.integers(-1, 2, (n, m)), rng.integers(-1, 2, n)
    for dtype in (np.int8, np.int32, np.float32):
        found = info.rule_mutual_information(votes.astype(dtype), y.astype(dtype), "plugin", "nats")
        assert found == pytest.approx([oracles.information(v, y) for v in votes.T], abs=1e-12)
    pairs = info.redundancy_matrix(votes, "nats")
    expected = [[oracles.information(u, v) for v in votes.T] for u in votes.T]
    assert pairs == pytest.approx(np.array(expected), abs=1e-12)


def test_votes_classes_and_few_values_stay_categories():
    votes, y = planted(40, 1, seed=23, zero=True)
    steps = np.random.default_rng(23).integers(20, size=400)
    for x, z in ((votes[:, 0], y), (steps, steps % 2), (np.arange(4), np.arange(4) % 2)):
        for kind in (np.int8, np.float32):
            found = info.mutual_information(x.astype(kind), z)
            assert found == info.mutual_information(x, z, "miller_madow")
    names = np.array([f"name {s}" for s in range(400)])
    asked = info.mutual_information(np.arange(400), steps, discrete=(True, True))
    assert asked == info.mutual_information(names, steps)
    assert asked == info.mutual_information(np.arange(400), steps, "miller_madow")


def test_vote_information_and_redundancy_of_known_channels():
    y = np.array([1, -1] * 500)
    votes = np.stack([y, -y, np.repeat([1, -1], 500)], axis=1)
    assert rk.information.rule_mutual_information(votes, y, "plugin") == pytest.approx([1, 1, 0])
    assert rk.information.redundancy_matrix(votes) == pytest.approx(
        np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), abs=1e-12
    )
    with pytest.raises(ValueError, match="row 1 is NaN"):
        rk.information.mutual_information([0.0, np.nan], [0, 1])
