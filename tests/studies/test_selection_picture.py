"""The cells of the picture of the method."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk


@pytest.fixture(scope="module")
def shown():
    pairs = rk.load_pairs("embedded")
    scores = rk.annotate(
        pairs, rk.RuleSet.load("embedded"), rk.judge("recorded", source="embedded")
    )
    selection = rk.select(scores, 5)
    labels = rk.label(scores, selection)
    return pairs, scores, selection, labels


def test_cells_hold_the_figures_of_their_pairs(shown):
    pairs, scores, selection, labels = shown
    cells, sides = rk.studies.chosen_cells(*shown, n_pairs=6, n_rules=9)
    assert (sides.height, cells.height) == (6, 54)
    ids, names = pairs["pair_id"].to_list(), list(scores.names)
    for row in cells.iter_rows(named=True):
        i, j = ids.index(row["pair"]), names.index(row["rule"])
        assert row["discrepancy"] == pytest.approx(float(scores.discrepancy[i, j]))
        assert row["chosen"] == (j in selection.indices[i])
    said = {1: "A", -1: "B", 0: "–"}
    for row in sides.iter_rows(named=True):
        i = ids.index(row["pair"])
        assert row["label"] == said[int(labels.preference[i])]
        assert row["known"] == said[pairs["preference"][i]]


def test_pairs_are_of_as_many_prompts_and_rules_stand_by_how_often_they_are_chosen(shown):
    cells, sides = rk.studies.chosen_cells(*shown)
    prompts = shown[0].filter(pl.col("pair_id").is_in(sides["pair"].implode()))
    assert rk.inputs.prompt_groups(prompts).n_unique() == 12
    often = cells.group_by("rule", maintain_order=True).agg(pl.col("chosen").sum())["chosen"]
    assert often.to_list() == sorted(often, reverse=True)


def test_fewer_pairs_and_rules_than_wanted_are_all_shown():
    pairs = rk.load_pairs("embedded").head(3).with_columns(preference=pl.lit(None, pl.Int8))
    a = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], np.float32)
    identity = rk.Identity.of(rk.RuleSet.from_texts(["It is kind.", "It is short."]), pairs)
    scores = rk.Scores(a, -a, identity=identity)
    selection = rk.select(scores, 1)
    cells, sides = rk.studies.chosen_cells(pairs, scores, selection, rk.label(scores, selection))
    assert cells["rule"].n_unique() == 2
    assert set(sides["known"]) == {"–"}
