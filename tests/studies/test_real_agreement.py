"""Agreement of readers of real responses: counted from the files, and by hand on small frames."""

import polars as pl
import pytest

import rulekit as rk

studies = rk.studies


def readings(first, other, prompts=None, category="c"):
    n = len(first)
    return pl.DataFrame(
        {
            "source": ["hh"] * n,
            "prompt": prompts or [f"p{i}" for i in range(n)],
            "sha256": [f"s{i}" for i in range(n)],
            "rule": ["r"] * n,
            "category": [category] * n,
            "first": first,
            "other": other,
        }
    )


def test_a_quarter_of_the_responses_was_read_twice_and_fifty_again():
    second, again = (studies.paired_readings(p) for p in ("second", "again"))
    assert second["prompt", "sha256"].n_unique() == 288
    assert again["prompt", "sha256"].n_unique() == 50
    assert second["category"].null_count() == 0
    for frame in (second, again):
        assert frame.select("prompt", "sha256", "rule").is_duplicated().sum() == 0
    by_source = [len(studies.paired_readings("second", s)) for s in ("hh-read", "xstest-read")]
    assert sum(by_source) == len(second)


def test_figures_of_a_small_frame_are_those_counted_by_hand():
    frame = readings([2, 1, -1, -2, 0], [2, -1, -1, -2, 1])
    (row,) = studies.reading_agreement(frame, resamples=50).to_dicts()
    assert row["sign"] == 3 / 4
    assert row["n_both"] == 4
    assert row["relevant"] == 4 / 5
    assert row["n"] == row["responses"] == 5
    assert row["kappa"] == pytest.approx(rk.measures.weighted_kappa(*frame["first", "other"]))
    assert row["kappa_low"] <= row["kappa"] <= row["kappa_high"]


def test_readings_are_split_by_category_and_rules_with_few_have_no_row():
    frame = pl.concat([readings([1, 2, -1], [1, 2, -1], category=c) for c in ("honesty", "crime")])
    assert studies.reading_agreement(frame, "category", resamples=20)["name"].to_list() == [
        "crime",
        "honesty",
    ]
    assert studies.reading_agreement(frame, "rule", resamples=20).is_empty()


def test_the_published_readings_agree_well_beyond_chance_and_no_place_is_preferred():
    (row,) = studies.reading_agreement(studies.paired_readings(), resamples=200).to_dicts()
    assert row["kappa_low"] > 0.9
    assert row["alpha_low"] > 0.9
    verdicts = {r["name"]: r for r in studies.verdict_agreement().iter_rows(named=True)}
    assert verdicts["same response"]["low"] > 0.9
    assert verdicts["first place"]["low"] < 0.5 < verdicts["first place"]["high"]


def test_sentences_name_what_is_not_surely_good():
    whole = studies.reading_agreement(readings([1, 2, -1, -2] * 10, [1, 2, -1, -2] * 10))
    good = whole.with_columns(kappa_low=pl.lit(0.9))
    weak = whole.with_columns(name=pl.lit("cyber"), kappa_low=pl.lit(0.5))
    assert "In every category κ is surely above" in studies.reading_findings(whole, good, whole)
    said = studies.reading_findings(whole, pl.concat([good, weak]), whole)
    assert "Not surely above κ = 0.8: `cyber`" in said
    assert "more than people would" in said


def test_unknown_readings_and_parts_are_refused():
    with pytest.raises(ValueError, match="unknown reading 'first'; allowed: second"):
        studies.paired_readings("first")
    with pytest.raises(ValueError, match="by is 'reader'; allowed: all"):
        studies.reading_agreement(readings([1], [1]), "reader")
