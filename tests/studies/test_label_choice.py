"""Chosen labels against random ones: what the curves, the labels saved and the sentences say."""

import polars as pl
import pytest

from rulekit.studies import (
    label_choice_curves,
    label_choice_findings,
    label_choice_table,
    labels_saved,
)
from rulekit.studies.label_choice import RATED

COUNTS = (0, 20, 40)


@pytest.fixture(scope="module")
def curves():
    return label_choice_curves(
        ["shared_noise"], COUNTS, ["random", "information"], n_pairs=150, draws=4, step=4
    )


def test_a_row_a_criterion_count_and_draw_and_all_begin_alike(curves):
    assert len(curves) == 2 * 3 * 4
    none = curves.filter(pl.col("labels") == 0).sort("draw")
    for column in ("accuracy", "others", "expected", "low", "high"):
        assert none.group_by("draw").agg(pl.col(column).n_unique())[column].to_list() == [1] * 4


def test_labels_help_where_the_rules_share_a_noise_and_the_table_has_their_means(curves):
    table = label_choice_table(curves)
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["high"]).all()
    assert table["covered"].mean() > 0.7
    for criterion in ("random", "information"):
        mean = table.filter(pl.col("criterion") == criterion)["accuracy"]
        assert mean[2] > mean[0]
        part = curves.filter((pl.col("criterion") == criterion) & (pl.col("labels") == 40))
        assert mean[2] == pytest.approx(part["accuracy"].mean())


def drawn(chosen: list[float], random: list[float]) -> pl.DataFrame:
    """Curves of two draws at 0, 60 and 100 labels."""
    rows = [
        {"world": "w", "criterion": c, "draw": d, "labels": n, "accuracy": a + 0.001 * d}
        for c, values in (("random", random), ("information", chosen))
        for n, a in zip((0, 60, 100), values, strict=True)
        for d in (0, 1)
    ]
    return pl.DataFrame(rows)


def test_the_labels_saved_are_the_least_that_reach_the_random_ones():
    row = labels_saved(drawn([0.6, 0.71, 0.72], [0.6, 0.65, 0.7])).row(0, named=True)
    assert (row["needed"], row["matters"]) == (60, True)
    assert row["random_gain"] == pytest.approx(0.1)
    assert row["at_sixty"] == pytest.approx(0.01)
    row = labels_saved(drawn([0.6, 0.61, 0.62], [0.6, 0.65, 0.7])).row(0, named=True)
    assert row["needed"] is None


@pytest.mark.parametrize(
    ("chosen", "random", "said"),
    [
        ([0.6, 0.71, 0.72], [0.6, 0.65, 0.7], "of chosen ones 60 do; 60 chosen ones are better"),
        (
            [0.6, 0.61, 0.62],
            [0.6, 0.65, 0.7],
            "none of the counts reaches it; 60 chosen ones are wo",
        ),
        ([0.6, 0.6, 0.6], [0.6, 0.6, 0.601], "labels hardly matter"),
    ],
)
def test_the_sentences_say_what_the_curves_hold(chosen, random, said):
    assert said in label_choice_findings(drawn(chosen, random))


@pytest.mark.real_data
@pytest.mark.slow
def test_real_ratings_take_part():
    found = label_choice_curves(RATED, (0, 4), ["random", "information"], draws=2, step=4)
    assert found["world"].unique(maintain_order=True).to_list() == list(RATED)
    assert found["accuracy"].is_between(0.5, 1).all()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"worlds": ["moon"]}, "worlds: moon unknown"),
        ({"criteria": ["best"]}, "criteria: best unknown"),
        ({"counts": [0, 300], "n_pairs": 100}, "allowed: 0 to 99"),
        ({"counts": [-1]}, "allowed: 0 to"),
        ({"step": 0}, "step is 0"),
    ],
)
def test_what_is_wrong_is_said(how, said):
    with pytest.raises(ValueError, match=said):
        label_choice_curves(**{"worlds": ["equal"], "draws": 1, "n_test": 10, **how})


def test_curves_without_random_labels_are_refused(curves):
    with pytest.raises(ValueError, match="random at 0 and at 100"):
        labels_saved(curves)
