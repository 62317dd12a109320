"""Models that learned from people, from a sum and from weighted rules, on one held-out fifth."""

import json

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs.pairs import split_pairs
from rulekit.inputs.sources import load_ratings
from tests.training.helpers import make_model


@pytest.fixture(scope="module")
def rated():
    pairs = rk.load_pairs("embedded").head(120)
    _, scores = load_ratings("embedded")
    return pairs, scores.of(pairs)


def test_weighted_labels_have_seen_no_preference_of_the_held_out_fifth(rated):
    pairs, scores = rated
    found = rk.studies.teachers(pairs, scores, n_labelled=40, seed=3)
    assert list(found) == ["people", "sum", "recommended"]
    _, held = split_pairs(pairs, 0.2, seed=3)
    other = pairs.with_columns(
        preference=pl.when(pl.col("pair_id").is_in(held["pair_id"].implode()))
        .then(-pl.col("preference"))
        .otherwise(pl.col("preference"))
    )
    again = rk.studies.teachers(other, scores, n_labelled=40, seed=3)
    assert np.array_equal(found["recommended"].target, again["recommended"].target)
    turned = pairs.with_columns(preference=-pl.col("preference"))
    against = rk.studies.teachers(turned, scores, n_labelled=40, seed=3)
    assert not np.allclose(found["recommended"].target, against["recommended"].target)
    assert (found["sum"].margin == rk.label(scores).margin).all()
    nobody = pairs.with_columns(preference=pl.lit(None, pl.Int8))
    assert list(rk.studies.teachers(nobody, scores)) == ["sum"]


@pytest.mark.slow
def test_each_teacher_leaves_a_run_and_is_held_against_its_floors(rated, tmp_path):
    pairs, scores = rated
    folder = make_model(tmp_path / "m", max_position_embeddings=512)
    overrides = {"model": str(folder), "max_tokens": 256, "token_budget": 1024}
    few = overrides | {"max_steps": 2, "pairs_per_step": 4}
    targets = rk.studies.teachers(pairs, scores, n_labelled=40)
    del targets["sum"], targets["people"]
    held, margins = rk.studies.fine_tuned_margins(
        pairs, targets, "smollm2-reward", tmp_path / "runs", overrides=few
    )
    assert list(margins) == [
        "longer response",
        *("trained on recommended", "encoder, trained on recommended"),
    ]
    assert all(len(margin) == len(held) for margin in margins.values())
    found = rk.studies.fine_tuned_gains(held, margins)
    result = json.loads((tmp_path / "runs" / "recommended" / "result.json").read_text())
    row = found.row(1, named=True)
    assert row["value"] == pytest.approx(result["metrics"]["accuracy"])
    assert row["over_encoder_low"] < row["over_encoder"] < row["over_encoder_high"]
    assert found["over_length"][0] is None
    assert "weighted by a few" in (tmp_path / "runs/recommended/model/README.md").read_text()
    before = (tmp_path / "runs" / "recommended" / "result.json").stat().st_mtime_ns
    again = rk.studies.fine_tuned_margins(
        pairs, targets, "smollm2-reward", tmp_path / "runs", overrides=few
    )[1]
    assert (tmp_path / "runs" / "recommended" / "result.json").stat().st_mtime_ns == before
    assert all(np.array_equal(again[name], margins[name]) for name in margins)


def test_a_frozen_language_model_learns_from_each_teacher_too(rated, tmp_path):
    pairs, scores = rated
    folder = make_model(tmp_path / "m", num_hidden_layers=4, max_position_embeddings=512)
    held, margins = rk.studies.fine_tuned_margins(
        pairs,
        {"sum": rk.label(scores)},
        "smollm2-frozen",
        tmp_path / "runs",
        overrides={"model": str(folder), "max_tokens": 256, "token_budget": 1024},
    )
    assert np.isfinite(margins["trained on sum"]).all()
    assert len(rk.studies.fine_tuned_gains(held, margins)) == 3
