"""What counts as a known preference: +1 and -1; 0 and null are not known; all else is refused."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.selection import known_preference
from tests.selection.drawn import random_scores

SCORES = random_scores(6, 4, 0)
EXPECTED = [1, -1, 0, 1, 0, -1]


@pytest.mark.parametrize(
    "preference",
    [
        EXPECTED,
        tuple(EXPECTED),
        np.array(EXPECTED, np.int8),
        np.array([1, -1, np.nan, 1, 0, -1]),
        [1, -1, None, 1, 0, -1],
        [1.0, -1, float("nan"), 1, None, -1],
        np.array([1, -1, None, 1, 0, -1], dtype=object),
        np.ma.masked_array([1, -1, -1, 1, 0, -1], mask=[0, 0, 1, 0, 0, 0]),
        pl.Series([1, -1, None, 1, 0, -1], dtype=pl.Int8),
        pl.Series([1.0, -1, None, 1, float("nan"), -1]),
    ],
)
def test_zero_and_every_way_to_write_null_mean_not_known(preference):
    found = known_preference(preference, SCORES)
    assert found.dtype == np.float64
    assert found.tolist() == EXPECTED


def test_none_is_no_preference_and_null_in_a_frame_is_not_known():
    assert known_preference(None, SCORES).tolist() == [0] * 6
    assert known_preference(pl.Series([None] * 6), SCORES).tolist() == [0] * 6
    named = rk.Scores(SCORES.a, SCORES.b, pair_ids=list("abcdef"))
    frame = pl.DataFrame({"pair_id": list("fabcde"), "preference": [-1, 1, -1, None, 1, 0]})
    assert known_preference(frame, named).tolist() == EXPECTED
    with pytest.raises(ValueError, match="a frame without the column 'preference'"):
        known_preference(frame.drop("preference"), named)


USES = {
    "estimate": lambda p: rk.estimate(SCORES, p),
    "select": lambda p: rk.select(SCORES, 2, "static", reference=SCORES, preference=p),
    "sign_audit": lambda p: rk.sign_audit(SCORES, p),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("preference", "message"),
    [
        (np.arange(6) % 2 == 0, "row 0 is True"),
        ([1, -1, 1, True, -1, 1], "row 3 is True"),
        (pl.Series([True, False, None, True, True, True]), "row 0 is True"),
        ([0, 1, 0, 1, 1, 0], "0 and \\+1 alone, 3 and 3 of them, look like a column coded 0/1"),
        (np.array([0.0, 1, np.nan, 1, 1, 0]), "0 and \\+1 alone, 2 and 3 of them"),
        ([1, -1, 2, 0, 0, 0], "row 2 is 2"),
        ([1, -1, 0.5, 0, 0, 0], "row 2 is 0.5"),
        ([1, -1, np.inf, 0, 0, 0], "row 2 is inf"),
        (["1", "-1", "1", "1", "1", "1"], "row 0 is 1"),
        (np.array(["a"] * 6), "row 0 is a"),
    ],
)
def test_booleans_and_a_coding_by_0_and_1_are_refused_everywhere(use, preference, message):
    wanted = rf"other values than -1, 0 \(not known\) and \+1: {message}.*allowed: \+1 the first"
    with pytest.raises(ValueError, match=wanted):
        USES[use](preference)


@pytest.mark.parametrize("use", USES)
def test_null_and_zero_make_the_same_of_the_preferences(use):
    one, two = USES[use](EXPECTED), USES[use]([p or None for p in EXPECTED])
    if use == "sign_audit":
        assert one.equals(two)
    else:
        field = "mu" if use == "estimate" else "indices"
        assert (getattr(one, field) == getattr(two, field)).all()


@pytest.mark.parametrize("shape", [(5,), (6, 1), ()])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"preference has shape \S*.*; allowed: \(6,\)"):
        known_preference(np.ones(shape), SCORES)


def test_pairs_whose_first_response_is_always_the_better_may_have_ties_or_few_labels():
    """Only where 0 and +1 are both common does a column look coded 0/1."""
    s = random_scores(40, 4, 1)
    for ones in (0, 1, 4, 36, 39, 40):
        y = np.where(np.arange(40) < ones, 1, 0)
        assert known_preference(y, s).sum() == ones
        assert known_preference(-y, s).sum() == -ones
    for ones in (5, 20, 35):
        y = np.where(np.arange(40) < ones, 1, 0)
        with pytest.raises(ValueError, match="look like a column coded 0/1"):
            known_preference(y, s)
        known = np.where(y == 1, 1, np.nan)  # null says what 0 could not
        assert known_preference(known, s).sum() == ones
