"""The run browser in a real JupyterLab: runs are chosen, compared and filtered, a sweep is watched."""

import re

import pytest

from tests.runs.tiny import tiny_notebook, tiny_sweep
from tests.workbench.looking import assert_controls_have_names_and_keys, least_contrast

pytestmark = pytest.mark.slow

STATUS = "document.querySelector('.rulekit-foot [role=status]').textContent"


def tool(page):
    return page.locator(".rulekit-tool").first


def wait(page, condition: str, arg=None) -> None:
    page.wait_for_function(condition, arg=arg, timeout=60_000)


def test_runs_are_compared_and_a_sweep_is_started_and_watched(in_lab, tmp_path):
    sweep = tiny_sweep(tmp_path)
    cell = f"import rulekit as rk\n\ntool = rk.workbench.runs({str(sweep)!r})\ntool"
    page = in_lab("runs", cell)
    page.wait_for_selector(".rulekit-grid tbody tr", timeout=60_000)
    wait(page, f"() => {STATUS}.startsWith('7 of 7')")

    runs = page.locator(".rulekit-grid").first
    runs.get_by_role("button", name="k", exact=True).click()
    wait(page, "() => document.querySelector('.rulekit-grid tbody tr').dataset.row === 'k-9'")
    for name in ("k-1_seed-0", "k-3_seed-0"):
        tool(page).get_by_label(f"compare {name}", exact=True).check()
        wait(page, f"() => /[12] of 2 to compare/.test({STATUS})")
    tool(page).get_by_text("k-3_seed-0 against k-1_seed-0").first.wait_for(timeout=60_000)
    pairs = page.locator(".rulekit-grid").nth(1).locator("tbody tr")
    assert pairs.count() > 5
    assert tool(page).get_by_text("What was run, where it differs").count()

    tool(page).get_by_label("search", exact=True).fill("k-3")
    wait(page, f"() => {STATUS}.startsWith('3 of 3')")
    page.locator(".rulekit-grid tbody tr").first.locator("button").press("Enter")
    tool(page).get_by_role("tab", name="report").click()
    tool(page).get_by_role("button", name="open report").click()
    inside = page.frame_locator(".rulekit-tool iframe")
    inside.locator("h1").first.wait_for(timeout=60_000)

    tool(page).get_by_role("tab", name="sweep").click()
    tool(page).get_by_label("sweep", exact=True).fill(str(tiny_notebook(tmp_path)))
    tool(page).get_by_label("parameters", exact=True).fill("k 1,3\nseed 7:9")
    tool(page).get_by_role("button", name="plan", exact=True).click()
    tool(page).get_by_text("if it is started").wait_for(timeout=60_000)
    assert_controls_have_names_and_keys(page)
    contrast, text = least_contrast(page)
    assert contrast >= 4.5, text
    tool(page).get_by_role("button", name="start", exact=True).click()
    tool(page).get_by_text(re.compile(r"4 of 4 runs done")).first.wait_for(timeout=120_000)
    assert page.errors == []
