"""The notebooks on estimation run whole and find what they say; their charts hold."""

import json

import nbformat
import numpy as np
import polars as pl
import pytest

from rulekit import plots


@pytest.fixture(scope="module")
def folder(executed):
    return executed("estimators", repeats=40, resamples=100, permutations=99)


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "metrics.json").read_text())["12_estimators"]


@pytest.mark.slow
def test_the_plug_in_is_biased_by_its_first_order_term_and_miller_madow_is_not(found):
    for row in found["discrete"]:
        if row["n"] < 100:
            continue
        expected = 1 / (2 * row["n"] * 0.6931) if row["series"] == "plugin" else 0.0
        if row["series"] != "shrinkage":
            assert abs(row["bias"] - expected) < 4 * row["error"] + 0.5 / row["n"] ** 1.5


@pytest.mark.slow
def test_neighbour_estimates_come_near_the_truth_with_more_pairs(found):
    near = [r for r in found["pairwise"] if r["n"] == 500 and "k = 3" in r["series"]]
    near += [r for r in found["mixture"] if r["n"] == 2000]
    assert len(near) == 7
    assert all(abs(row["bias"]) < 0.03 for row in near)
    assert found["ross_refuses_zeros"]
    free = [r for r in found["mixture"] if r["panel"].startswith("no zeros") and r["n"] <= 200]
    bias = {n: np.mean([r["bias"] for r in free if r["series"] == n]) for n in ("ross", "mixed")}
    assert abs(bias["mixed"]) < abs(bias["ross"])


@pytest.mark.slow
def test_on_grids_and_with_zeros_mixed_is_right_and_its_intervals_hold(found):
    rows = found["grids"]
    assert len(rows) == 4 * 72
    for n in (200, 1000, 10_000, 100_000):
        one = [r for r in rows if r["n"] == n]
        assert abs(np.mean([r["bias"] for r in one])) < 0.01
        assert np.mean([r["covers"] for r in one]) >= 0.9
    for row in rows:
        if row["repeats"] > 5:
            assert abs(row["bias"]) < 0.01 + 4 * row["error"]
            error = np.sqrt(0.93 * 0.07 / row["repeats"])
            assert row["covers"] >= 0.93 - 4 * error
    grid = [r for r in rows if r["n"] == 200 and r["y"] == "coin" and not r["dependent"]]
    assert max(r["bias"] for r in grid) < 0.03  # a strict count finds .3 bits and more


@pytest.mark.slow
def test_of_a_coin_the_real_ratings_tell_nothing(found):
    (coins,) = found["coins"]
    assert coins["intervals"] == 1000
    for share in ("excluding_0", "p_at_most_5_percent"):
        assert coins[share] <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / coins["intervals"])


@pytest.mark.slow
def test_intervals_hold_away_from_zero_and_p_values_stay_below_the_uniform_law(found):
    for row in found["coverage"]:
        if "50%" not in row["case"] and row["estimator"] in ("miller_madow", "mixed"):
            assert row["covers"] > 0.78  # .92 less four standard errors of 40 data sets, and some
    assert len(found["any_estimate"]) == 4
    for row in found["any_estimate"]:
        assert row["covers"] > 0.78
    for row in found["uniform"]:
        assert row["largest excess over α"] < row["1 % limit of that"]
    for row in found["false_discoveries"]:
        if row["found by"] == "q ≤ .1":
            assert row["false among the found"] < 0.08 + 3 * row["its error"]


@pytest.mark.slow
def test_a_coverage_of_nought_or_one_has_wilsons_width_and_stays_a_share(found):
    ends = [row for row in found["coverage"] if row["covers"] in (0, 1)]
    assert any(row["covers"] == 0 for row in ends)
    assert all(
        row["high"] - row["low"] > 0 and -1e-9 < row["low"] < row["high"] <= 1 for row in ends
    )


@pytest.mark.slow
def test_the_lesson_on_estimation_finds_what_its_words_say(folder, conclusion):
    lesson = json.loads((folder / "metrics.json").read_text())["06_estimation"]
    assert lesson["plug_in"] == pytest.approx(0.278, abs=5e-4)
    never = [r for r in lesson["intervals"] if r["right"] == 0.5 and r["estimator"] == "plugin"]
    assert [row["covers"] for row in never] == [0]
    rows = {(r["labels"], r["preference"]): r for r in lesson["found"]}
    assert rows[30, "known"]["q ≤ .1"] < 2
    assert rows[144, "known"]["q ≤ .1"] > 10
    assert all(row["q ≤ .1"] < 1 for (_, kind), row in rows.items() if kind == "coin")
    assert "near zero, test" in conclusion(folder, "06_estimation")


@pytest.mark.slow
def test_the_notebook_concludes_what_it_found(folder, conclusion):
    said = conclusion(folder, "12_estimators")
    assert "plugin, vote right 50%: 0 %" in said
    assert "aim: 10 % or less" in said


@pytest.mark.slow
def test_the_notebook_shows_every_chart_and_keeps_its_tables(folder):
    cells = nbformat.read(folder / "notebooks/12_estimators.ipynb", as_version=4).cells
    charts = [o for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(charts) == 7
    assert pl.read_parquet(folder / "artefacts/estimators_coverage.parquet").height == 23


def test_growth_draws_each_work_and_mode_over_the_pairs():
    rows = [
        {"work": w, "mode": m, "pairs": n, "seconds": n / 1e6, "GB": 0.3}
        for w in ("select", "redundancy")
        for m in ("in memory", "streamed")
        for n in (10_000, 100_000)
    ]
    spec = json.dumps(plots.growth(pl.DataFrame(rows), "A finding").to_dict(format="vega"))
    for text in ("A finding", "select", "redundancy", "in memory", "streamed", "seconds", "GB"):
        assert text in spec
