"""The notebook on the estimators runs whole and finds what it says; its charts hold."""

import json

import nbformat
import polars as pl
import pytest

from rulekit import plots


@pytest.fixture(scope="module")
def folder(executed):
    return executed("estimators", repeats=40, resamples=100, permutations=99)


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "metrics.json").read_text())["08_estimators"]


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
    same = {}
    for row in found["mixture"]:
        if row["panel"].startswith("no zeros"):
            same.setdefault(row["n"], set()).add(round(row["bias"], 12))
    assert all(len(values) == 1 for values in same.values())


@pytest.mark.slow
def test_intervals_hold_away_from_zero_and_chance_keeps_to_its_level(found):
    for row in found["coverage"]:
        away = "50%" not in row["case"] and "shift 0.0" not in row["case"]
        if away and row["estimator"] == "miller_madow":
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
def test_the_notebook_shows_every_chart_and_keeps_its_tables(folder):
    cells = nbformat.read(folder / "notebooks/08_estimators.ipynb", as_version=4).cells
    charts = [
        o for c in cells for o in c.get("outputs", []) if "image/svg+xml" in o.get("data", {})
    ]
    assert len(charts) == 6
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
