"""A new rule beside the old ones: figures that a hand can count."""

import numpy as np
import polars as pl
import pytest

from rulekit import RuleSet, Scores
from rulekit.inputs import Identity
from rulekit.studies import agreement_with, deciding_pairs, new_rule_rows

N = 20
PAIRS = pl.DataFrame(
    {
        "pair_id": [f"p{i:02d}" for i in range(N)],
        "prompt": [f"Question {i}?" for i in range(N)],
        "response_a": ["a"] * N,
        "response_b": ["b"] * N,
        "preference": [1 if i % 2 else -1 for i in range(N)],
    }
)
Y = PAIRS["preference"].to_numpy()


def scores_of(delta: np.ndarray, prefix: str) -> Scores:
    rules = RuleSet.from_texts([f"{prefix} {j}." for j in range(delta.shape[1])])
    half = delta / 2
    return Scores(half, -half, identity=Identity.of(rules, PAIRS))


NEW = scores_of(np.stack([Y * 0.9, np.where(np.arange(N) < 5, 0.4, 0.0), np.zeros(N)], 1), "New")
OLD = scores_of(np.stack([-Y * 0.2, Y * np.where(np.arange(N) < 10, 0.6, 0.0)], 1), "Old")


def test_coverage_right_votes_and_information_are_those_of_the_votes():
    rows = new_rule_rows(PAIRS, NEW, OLD)
    assert rows["coverage"].to_list() == [1.0, 0.25, 0.0]
    assert rows["decisive"].to_list() == [1.0, 0.0, 0.0]
    assert rows["right"].to_list() == [1.0, pytest.approx(0.4), None]
    assert rows["information"][0] == pytest.approx(1.0, abs=0.1)
    assert rows["p"][0] < 0.001 < rows["p"][1]
    assert rows["most_like"][0] == OLD.names[0]
    assert rows["shared"][0] == pytest.approx(1.0)
    assert rows["agree"][0] == 0.0  # the opposite says as much


def test_agreement_counts_pairs_on_which_both_vote():
    frame = agreement_with(PAIRS, NEW, OLD)
    cells = {(r["rule"], r["other"]): (r["both"], r["agree"]) for r in frame.to_dicts()}
    new, old = NEW.names, OLD.names
    assert cells[new[0], old[1]] == (10, 1.0)
    assert cells[new[1], old[1]] == (5, 0.4)  # of five votes for A two are those of the old rule
    assert cells[new[2], old[0]] == (0, None)
    assert len(frame) == 6


def test_deciding_pairs_are_those_whose_label_changes_and_then_the_loudest():
    frame = deciding_pairs(PAIRS, NEW, NEW.names[0], OLD)
    # without it pairs 10 to 19 go by the reversed old rule alone; with it all are right
    assert frame["pair_id"].to_list() == ["p10", "p11", "p12"]
    assert frame["changes"].all()
    assert (frame["after"] == frame["preference"]).all()
    assert (frame["before"] == -frame["preference"]).all()
    loud = deciding_pairs(PAIRS, NEW, NEW.names[1], n=9)
    assert loud["pair_id"].to_list() == [f"p{i:02d}" for i in range(5)]  # where it votes at all
    assert loud["before"].null_count() == 5
    assert len(deciding_pairs(PAIRS, NEW, NEW.names[2], OLD)) == 0


def test_without_preferences_or_old_rules_nothing_is_said_of_them():
    rows = new_rule_rows(PAIRS.with_columns(preference=pl.lit(None, pl.Int8)), NEW)
    for name in ("right", "information", "p", "most_like", "shared"):
        assert rows[name].null_count() == 3
    assert rows["coverage"].to_list() == [1.0, 0.25, 0.0]
