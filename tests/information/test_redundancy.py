"""What rules repeat of one another: effective number, clusters."""

import numpy as np
import pytest

import rulekit as rk

info = rk.information


def test_effective_rules_counts_copies_once():
    rng = np.random.default_rng(18)
    votes = rng.choice([-1, 0, 1], (50_000, 10))
    assert info.effective_rules(votes) == pytest.approx(10, abs=0.05)
    same = np.repeat(votes[:, :1], 6, axis=1) * np.array([1, -1, 1, 1, -1, 1])
    assert info.effective_rules(same) == pytest.approx(1)
    constant = np.column_stack([votes[:, :2], np.ones(len(votes), int)])
    assert info.effective_rules(constant) == pytest.approx(2, abs=0.01)
    r = np.corrcoef(votes.T)
    eigenvalues = np.linalg.eigvalsh(r)
    expected = eigenvalues.sum() ** 2 / np.square(eigenvalues).sum()
    assert info.effective_rules(correlation=r) == pytest.approx(expected)
    assert info.effective_rules(votes) == pytest.approx(expected)


def test_clusters_join_copies_and_reversed_copies_only():
    rng = np.random.default_rng(19)
    base = rng.choice([-1, 0, 1], (5000, 3))
    noisy = np.where(rng.random(5000) < 0.05, 0, base[:, 0])
    votes = np.column_stack([base, noisy, -base[:, 1], np.zeros(5000, int)])
    assert info.redundancy_clusters(votes, 0.5).tolist() == [0, 1, 2, 0, 1, 3]
    assert info.redundancy_clusters(votes, 0.0).max() == 0
    assert info.redundancy_clusters(votes, 1.0).tolist() == [0, 1, 2, 3, 1, 4]
    shared = info.normalised_redundancy(votes)
    assert (np.diag(shared) == 1).all()
    assert shared[1, 4] == pytest.approx(1)
