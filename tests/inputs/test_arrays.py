"""Scores keep their numbers: no masked cell is used, and nobody can write to them later."""

import tracemalloc

import numpy as np
import pytest

import rulekit as rk

A = np.array([[0.5, 0.25], [-0.5, 0.0], [1.0, -1.0]], np.float32)


def test_a_masked_cell_is_refused_by_its_place():
    masked = np.ma.masked_array(A, mask=[[0, 0], [0, 1], [1, 0]])
    for name, make in (
        ("a", lambda: rk.Scores(masked, A)),
        ("b", lambda: rk.Scores(A, masked)),
        ("relevance", lambda: rk.Scores(A, A, masked)),
        ("discrepancy", lambda: rk.Scores.from_discrepancy(masked)),
    ):
        with pytest.raises(ValueError, match=rf"{name}, row 1, column 1 is masked; allowed"):
            make()


def test_a_masked_array_without_a_masked_cell_is_an_array():
    scores = rk.Scores(np.ma.masked_array(A), np.ma.masked_array(A, mask=np.zeros(A.shape)))
    assert type(scores.a) is np.ndarray
    assert (scores.a == A).all()


@pytest.mark.parametrize("kind", ["array", "view", "fortran", "float64", "read-only view"])
def test_a_later_write_to_the_callers_array_changes_no_score(kind):
    own = A.copy()
    given = {
        "array": own,
        "view": own[:],
        "fortran": np.asfortranarray(own),
        "float64": own.astype(np.float64),
        "read-only view": own.view(),
    }[kind]
    given.flags.writeable = kind != "read-only view"
    rated = np.ones(A.shape, bool)
    rated[0, 0] = False
    part = np.where(rated, A, np.nan).astype(np.float32)
    scores, some = rk.Scores(given, A, np.abs(given)), rk.Scores(part, part, rated=rated)
    for array in (own, part) if kind != "float64" else (given, part):
        array[:] = 5.0
    rated[:] = True
    assert (scores.a == A).all()
    assert not some.rated[0, 0]
    assert np.isnan(some.a[0, 0])


def test_scores_cannot_be_written_to():
    scores = rk.Scores.from_discrepancy(A, np.abs(A))
    for name in ("a", "b", "relevance"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(scores, name)[0, 0] = 5.0
    delta = scores.discrepancy  # made anew each time, so it may be
    delta[0, 0] = 5.0
    assert scores.discrepancy[0, 0] == A[0, 0]


def test_arrays_of_other_scores_are_shared_and_others_copied_once():
    scores = rk.Scores(A, A)
    assert rk.Scores(scores.a, scores.b).a is scores.a
    large = np.zeros((1000, 500))
    tracemalloc.start()
    try:
        rk.Scores(large, large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * 2 * large.size * 4  # float32 of each, and no more
