"""The notebooks on votes run whole and find what they say; their tables and charts hold."""

import json

import nbformat
import polars as pl
import pytest

from rulekit import plots, theory


@pytest.fixture(scope="module")
def folder(executed):
    return executed("theory", draws=20)


@pytest.mark.slow
def test_the_notebook_confirms_what_it_states(folder):
    found = json.loads((folder / "metrics.json").read_text())["11_proofs"]
    assert found["subsets"] == 15_504
    assert found["better_subsets"] == {"0.5": 0, "0.1": 0}
    assert {row["pairs"] for row in found["brute_force"]} == {20}
    assert max(row["largest_shortfall"] for row in found["brute_force"]) < 1e-12
    assert found["chain_holds"]
    assert found["gaussian_gap"] < 5 * 0.5 / 20_000**0.5
    assert found["largest_regime_gap"] < 0.015  # three standard errors of a difference
    assert len(found["regimes"]) == 30
    assert all(row["holds"] for row in found["lattice"])
    assert [row["bits"] for row in found["asymmetric"]] == pytest.approx([0.240, 0.311], abs=5e-4)
    assert [row["exchanged"] for row in found["asymmetric"]] == pytest.approx(
        [0.240, 0.189], abs=5e-4
    )


@pytest.mark.slow
def test_the_lesson_on_votes_has_the_figures_of_the_toy(folder, conclusion):
    found = json.loads((folder / "metrics.json").read_text())["04_votes"]
    assert [row["bits"] for row in found["toy"]] == pytest.approx(
        [0.347, 0.133, 0.028, 0.007], abs=5e-4
    )
    assert found["two"][0]["rules"] == "1, 2"
    assert [found["labels"][k - 1]["confidence"] for k in (1, 2, 4)] == pytest.approx(
        [0.83, 0.67, 0.79], abs=5e-3
    )
    said = conclusion(folder, "04_votes")
    assert "never beaten by another subset, in 60 trials" in said
    assert "from 0.347 to 0.440 bits" in said


@pytest.mark.slow
def test_the_lesson_on_assumptions_finds_what_its_words_say(folder, conclusion):
    found = json.loads((folder / "metrics.json").read_text())["05_assumptions"]
    value = {(r["world"], r["method"]): r["value"] for r in found["worlds"]}
    worlds = list(dict.fromkeys(r["world"] for r in found["worlds"]))
    lost = [value[w, "five, weights known"] - value[w, "five largest |δ|, summed"] for w in worlds]
    assert [gap > 0.1 for gap in lost] == [False, True, True, False, True]
    assert [r["exchanged"] for r in found["lopsided"]] == pytest.approx([0.240, 0.189], abs=5e-4)
    said = conclusion(folder, "05_assumptions")
    assert "above the sum of all in 1 of 5 worlds: 60 rules repeat each other" in said
    assert "A1 does not hold there" in said


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pictures"), [("04_votes", 3), ("05_assumptions", 3)])
def test_a_lesson_shows_its_pictures_before_its_tables(folder, name, pictures):
    cells = nbformat.read(folder / f"notebooks/{name}.ipynb", as_version=4).cells
    shown = [o.get("data", {}) for c in cells for o in c.get("outputs", [])]
    kinds = [
        "picture" if "image/png" in data else "table"
        for data in shown
        if "image/png" in data or "<table" in data.get("text/html", "")
    ]
    assert kinds[0] == "picture"
    assert kinds.count("picture") == pictures


@pytest.mark.slow
def test_the_notebook_concludes_what_it_found(folder, conclusion):
    said = conclusion(folder, "11_proofs")
    assert "no subset told more than the largest |δ|" in said
    assert "above the sum of all rules in `shared_noise`; below" in said


@pytest.mark.slow
def test_the_notebook_shows_every_chart(folder):
    cells = nbformat.read(folder / "notebooks/11_proofs.ipynb", as_version=4).cells
    charts = [o for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(charts) == 7
    assert pl.read_parquet(folder / "artefacts/regimes.parquet").height == 30


@pytest.mark.parametrize(
    "example",
    [
        theory.asymmetric_channel(),
        theory.dependent_rules(),
        theory.unequal_noise(),
        theory.reversed_rules(),
    ],
)
def test_the_table_of_a_counter_example_has_both_choices_and_the_best_is_best(example):
    table = example.subsets()
    measure = {"votes": "vote_information", "label": "label_information"}[example.measure]
    rows = {row["choice"]: row for row in table.to_dicts()}
    assert tuple(rows["max discrepancy"]["rules"]) == example.picked
    assert tuple(rows["best"]["rules"]) == example.best
    assert rows["max discrepancy"][measure] == example.information_picked
    assert rows["best"][measure] == table[measure].max() == example.information_best
    assert example.information_picked < example.information_best


@pytest.mark.parametrize("panels", [0, 1, 3])
def test_curves_draw_a_line_a_series_in_each_panel_on_the_axes_asked_for(panels):
    rows = [
        {"panel": f"P{i}", "series": name, "x": x, "y": x**2}
        for i in range(max(panels, 1))
        for name in ("first", "second")
        for x in (1e-4, 1.0, 10.0)
    ]
    frame = pl.DataFrame(rows) if panels else pl.DataFrame(rows).drop("panel")
    chart = plots.curves(frame, "A finding", "tolerance", "bits", points=frame.head(2), log="xy")
    spec = json.dumps(chart.to_dict(format="vega"))
    assert spec.count('"type": "log"') == 2
    assert all(text in spec for text in ("A finding", "tolerance", "bits", "first", "second"))


def test_too_many_series_are_refused():
    frame = pl.DataFrame({"series": list("abcdef"), "x": range(6), "y": range(6)})
    with pytest.raises(ValueError, match="6 series; allowed: 5 or fewer"):
        plots.curves(frame, "", "", "")
