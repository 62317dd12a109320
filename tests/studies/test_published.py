"""Published figures beside measured ones: marked as what they are, and cases in which not to go on."""

import numpy as np
import polars as pl

import rulekit as rk
from rulekit.studies.published import MEASURED, PUBLISHED
from rulekit.studies.ways import Ways
from tests import medical


def ways(named: np.ndarray, truth: np.ndarray) -> Ways:
    rng = np.random.default_rng(0)
    labels = {
        "sum of all rules": truth[None],
        "3 named by the adapter": named[None],
        "3 at random": rng.choice([-1, 1], (4, len(truth))),
    }
    return Ways(labels, {"sum of all rules": 12, "3 named by the adapter": 3, "3 at random": 3})


def test_a_card_marks_every_figure_and_gives_the_published_ones_their_interval():
    pairs = medical.pairs()
    truth = pairs["preference"].to_numpy()
    table = rk.studies.results_table(pairs, ways(truth, truth), True)
    card = rk.studies.scorecard(table, pl.DataFrame(schema={"name": pl.String}))
    assert set(card["source"]) == {PUBLISHED, MEASURED}
    paper = card.row(0, named=True)
    assert (round(paper["low"], 3), round(paper["high"], 3)) == (0.933, 0.964)
    assert card.filter(pl.col("source") == MEASURED)["n"].to_list() == [60] * 3
    boards = rk.studies.published_boards()
    assert boards.filter(pl.col("change") < 0)["section"].str.contains("overall").any()


def test_saving_is_warned_of_only_where_it_is_not_shown_to_beat_chance():
    pairs = medical.pairs()
    truth = pairs["preference"].to_numpy()
    none = pl.DataFrame(schema={"name": pl.String, "low": pl.Float64})
    good = rk.studies.when_not_to(pairs, ways(truth, truth), none, True)
    assert "Not to save ratings" not in good
    bad = rk.studies.when_not_to(pairs, ways(-truth, truth), none, True)
    assert "**Not to save ratings by** *3 named by the adapter*" in bad
    assert "still errs on 0 %" in bad
    unknown = rk.studies.when_not_to(pairs, ways(truth, truth), none, False)
    assert "errs" not in unknown
    assert "nobody can check" in unknown


def test_one_pair_says_what_each_way_makes_of_it():
    truth = np.array([1, -1])
    found = rk.studies.pair_by_ways(ways(-truth, truth), 0, 1)
    assert found["right"].to_list()[:2] == ["yes", "no"]
    assert found["ratings"].to_list() == [24, 6, 6]
    assert rk.studies.pair_by_ways(ways(truth, truth), 0, None)["right"].to_list() == ["–"] * 3


def test_rules_of_one_pair_are_told_by_the_side_they_speak_for():
    frame = pl.DataFrame({"discrepancy": [-2.0, -2.0, 2.0, 0.0]})
    said = rk.studies.chosen_rules_said(frame)
    assert said.startswith("For A: 1 of 4 rules, δ together +2. For B: 2, together −4.")
    assert "outvoted" in said
    assert "outvoted" not in rk.studies.chosen_rules_said(pl.DataFrame({"discrepancy": [2.0, 1.0]}))


def test_labels_stand_beside_what_somebody_said():
    pairs = medical.pairs().head(3)
    truth = pairs["preference"].to_numpy()
    scores = rk.Scores.from_discrepancy((truth * [1, -1, 1])[:, None].astype(float))
    found = rk.studies.labels_beside(pairs, rk.label(scores))
    assert found["same"].to_list() == [True, False, True]
    assert set(found["yours"]) <= {"A", "B"}
