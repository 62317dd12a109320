"""The theory lab: its twin, its controls without a browser, and in a real JupyterLab."""

import polars as pl
import pytest

import rulekit as rk
from rulekit.plots import as_png
from rulekit.workbench.theory_lab import TheoryState, theory_data
from tests.workbench.looking import assert_controls_have_names_and_keys, least_contrast


def test_the_twin_gives_what_the_studies_give():
    lab = rk.workbench.theory(loudness=0.8, n_rules=8, k=3)
    found = lab.data()
    again = rk.studies.selectors_by_k(
        rk.theory.World(loudness=0.8, n_rules=8), n_pairs=1500, n_reference=600
    )
    assert found["curves"].equals(again)
    assert found["assumptions"].filter(~pl.col("holds"))["assumption"].to_list() == [
        "A3: one non-decreasing link"
    ]
    chart, assumptions, said = lab.picture()
    data, about = as_png(chart.to_dict())
    assert data["image/png"][:4] == b"\x89PNG"
    assert "A3 broken: one non-decreasing link" in about["image/png"]["alt"]
    assert "at k = 3" in about["image/png"]["alt"]
    assert "A2: symmetric channels" in assumptions.as_raw_html()
    assert "At k = 3" in said.data


def test_a_slider_changes_the_state_and_the_curves_and_a_refusal_is_said():
    lab = rk.workbench.theory()
    lab.widget()
    before = lab._chart.spec
    lab._sliders["n_reversed"].value = 4.0
    assert lab.state.n_reversed == 4
    assert lab._chart.spec != before
    assert "A3 broken (4 of 20 rules are reversed)" in lab._said.value
    lab._sliders["n_rules"].value = 3.0
    assert (lab.state.n_rules, lab.state.k, lab.state.n_reversed) == (3, 3, 3)
    assert lab._sliders["k"].max == 3
    lab._selectors.value = ("random",)
    assert "allowed: five or fewer" in lab.notice.value
    assert lab.state.selectors == rk.studies.BY_K
    lab._selectors.value = ("max_discrepancy", "jmi", "log_odds, known")
    assert lab.notice.value == ""
    assert set(lab.data()["curves"]["selector"]) == set(lab.state.selectors)


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"k": 21}, {"labelled": 601}, {"selectors": ("random",)}, {"accuracy": 0.4}]
)
def test_states_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="allowed"):
        TheoryState(**wrong)


def test_k_alone_changes_no_curve():
    one, other = theory_data(TheoryState(k=2)), theory_data(TheoryState(k=9))
    assert one["curves"] is other["curves"]
    assert one["findings"] != other["findings"]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_sliders_move_the_curves_in_jupyterlab(in_lab, dark):
    page = in_lab(
        f"theory-{'dark' if dark else 'light'}",
        "import rulekit as rk\nlab = rk.workbench.theory()\nlab",
        "print('k is', lab.state.k)",
        dark=dark,
    )
    page.wait_for_selector(".rulekit-tool canvas, .rulekit-tool svg.marks", timeout=60_000)
    page.wait_for_function(
        "() => document.querySelector('.rulekit-tool [role=status]').innerText.includes('A1 to A4 hold')"
    )
    reversed_rules = page.get_by_role("slider", name="reversed rules")
    reversed_rules.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "() => document.querySelector('.rulekit-tool [role=status]').innerText.includes('3 of 20 rules are reversed')"
    )
    page.get_by_role("slider", name="rules kept, k").fill("9")
    page.wait_for_function(
        "() => document.querySelector('.rulekit-tool [role=status]').innerText.includes('At k = 9')"
    )
    assert_controls_have_names_and_keys(page)
    contrast, text = least_contrast(page)
    assert contrast >= 4.5, text
    assert page.errors == []
