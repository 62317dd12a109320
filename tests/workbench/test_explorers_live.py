"""The explorers in a real JupyterLab: what one drags, types and clicks is what one sees."""

import re

import pytest

import rulekit as rk
from tests.workbench.looking import (
    assert_controls_have_names_and_keys,
    keys_that_leave,
    least_contrast,
)

pytestmark = pytest.mark.slow

START = """import rulekit as rk

pairs, rules = rk.load_pairs("embedded").head(240), rk.RuleSet.load("embedded")
scores = rk.annotate(pairs, rules, rk.judge("recorded"), progress=False)"""
PAIRS = """tool = rk.workbench.pairs(pairs, scores, rules=rules, judge=rk.judge("encoder"))
tool"""
RULES = """tool = rk.workbench.rules(pairs, scores, rules)
tool"""
CHOSEN = (
    "[...document.querySelectorAll('.rulekit-bars tr[data-chosen=yes]')].map(r => r.dataset.rule)"
)


SELECTED = "document.querySelector('.rulekit-grid tr[aria-selected]')?.dataset.row"


def wait(page, condition: str, arg=None) -> None:
    page.wait_for_function(condition, arg=arg, timeout=30_000)


def tool(page):
    return page.locator(".rulekit-tool").first


def first_row(page, place: int = 0) -> str:
    return (
        page.locator(".rulekit-grid").nth(place).locator("tbody tr").first.get_attribute("data-row")
    )


def waits_for_first_row(page, name: str) -> None:
    wait(page, "n => document.querySelector('.rulekit-grid tbody tr')?.dataset.row === n", name)


def test_pairs_are_explored_by_dragging_typing_and_clicking(in_lab, rated):
    pairs = rated[0]
    page = in_lab("pairs", START, PAIRS)
    page.wait_for_selector(".rulekit-bars tbody tr", timeout=60_000)
    assert len(page.evaluate(CHOSEN)) == 5
    label = page.locator(".rulekit-bars caption").inner_text()

    slider = tool(page).get_by_label("k, rules a pair")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 8 + (box["width"] - 16) * 4 / 99, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    k = int(float(slider.input_value()))
    assert k > 10
    wait(page, f"k => {CHOSEN}.length === k", k)
    assert page.locator(".rulekit-bars caption").inner_text() != label
    slider.press("Home")
    wait(page, f"() => {CHOSEN}.length === 1")

    tool(page).get_by_label("search", exact=True).press_sequentially("neighbour slashed", delay=10)
    wait(
        page,
        "() => /of 6 pairs/.test(document.querySelector('.rulekit-foot [role=status]').textContent)",
    )
    tool(page).get_by_label("search", exact=True).fill("")
    wait(
        page,
        "() => /of 240 pairs/.test(document.querySelector('.rulekit-foot [role=status]').textContent)",
    )

    tool(page).get_by_label("order", exact=True).select_option(label="most uncertain first")
    tool(page).get_by_role("button", name="margin").wait_for()
    shown = "document.querySelector('.rulekit-grid tr[aria-selected]')?.dataset.row"
    rows = page.locator(".rulekit-grid tbody tr").evaluate_all("rs => rs.map(r => r.dataset.row)")
    wait(page, f"() => {shown} === document.querySelector('.rulekit-grid tbody tr').dataset.row")
    tool(page).get_by_role("button", name="next pair").click()
    wait(page, f"was => {shown} !== was", first_row(page))
    rows = page.locator(".rulekit-grid tbody tr").evaluate_all("rs => rs.map(r => r.dataset.row)")
    assert page.evaluate(shown) == rows[1]
    wait(
        page,
        "n => document.querySelector('.rulekit-bars caption').textContent.startsWith(n)",
        rows[1],
    )

    tool(page).get_by_role("button", name=re.compile("^pair")).first.focus()
    for _ in range(2):  # first up, then down
        page.keyboard.press("Enter")
        wait(
            page,
            "() => document.querySelector('th[aria-sort=ascending], th[aria-sort=descending]')",
        )
    wait(page, "() => document.querySelector('th[aria-sort=descending]')")
    assert first_row(page) == max(pairs["pair_id"].head(240))
    page.locator(".rulekit-grid tbody tr").nth(3).click()
    wait(
        page,
        f"n => {shown} === n",
        page.locator(".rulekit-grid tbody tr").nth(3).get_attribute("data-row"),
    )

    tool(page).get_by_role("button", name="edit a response and rate it again").click()
    tool(page).get_by_label("response A").fill("I will not help, and you are a <b>bad</b> person.")
    tool(page).get_by_role("button", name="rate again").click()
    tool(page).get_by_text("What moves, by rule").wait_for(timeout=30_000)
    assert tool(page).get_by_text("After:").count()

    assert_controls_have_names_and_keys(page)
    contrast, text = least_contrast(page)
    assert contrast >= 4.5, text
    chosen = page.evaluate(shown)
    in_lab.reload(page)
    page.wait_for_selector(".rulekit-bars tbody tr", timeout=60_000)
    assert page.evaluate(shown) == chosen
    tool(page).get_by_label("k, rules a pair").press("ArrowRight")
    wait(page, f"() => {CHOSEN}.length === 2")
    assert page.errors == []


def test_rules_are_sorted_switched_and_taken_along(in_lab, rated):
    page = in_lab("rules", START, RULES, "print(len(tool.kept()), 'are on')")
    page.wait_for_selector(".rulekit-grid tbody tr", timeout=60_000)
    pairs, rules, scores = rated
    table = rk.workbench.rules(pairs.head(240), scores, rules).table.table
    best = table.sort("information", descending=True, nulls_last=True)["rule"][0]
    assert first_row(page) == best
    loudest = table.filter(table["coverage"] == table["coverage"].max())["rule"].to_list()
    tool(page).get_by_role("button", name="coverage").click()
    wait(
        page,
        "ns => ns.includes(document.querySelector('.rulekit-grid tbody tr').dataset.row)",
        loudest,
    )
    wait(page, f"() => {SELECTED} === document.querySelector('.rulekit-grid tbody tr').dataset.row")

    summary = page.locator("table.rulekit-worth")
    assert summary.locator("tbody tr").count() == 1
    name = first_row(page)
    tool(page).get_by_label(f"use {name}", exact=True).uncheck()
    wait(page, "() => document.querySelectorAll('table.rulekit-worth tbody tr').length === 2")
    assert "switched on" in summary.inner_text()
    assert "99" in summary.locator("tbody tr").nth(1).inner_text()
    tool(page).get_by_label("search", exact=True).fill("violence")
    wait(
        page,
        "() => !/^100/.test(document.querySelector('.rulekit-foot [role=status]').textContent)",
    )
    tool(page).get_by_role("button", name="only listed on").click()
    wait(
        page,
        "() => !/, 99 of/.test(document.querySelector('.rulekit-foot [role=status]').textContent)",
    )

    third = page.locator(".rulekit-grid").first.locator("tbody tr").nth(2)
    name = third.get_attribute("data-row")
    third.locator("button").press("Enter")
    wait(page, f"n => {SELECTED} === n", name)
    third.locator("button").press("ArrowDown")
    below = "document.activeElement.closest('tr')?.previousElementSibling?.dataset.row"
    assert page.evaluate(below) == name
    assert keys_that_leave(page, "a", "x", "ArrowDown", "Escape") == ["Escape"]
    tool(page).get_by_role("tab", name="redundancy").click()
    drawn = page.locator(".rulekit-heat canvas")
    drawn.wait_for()
    shown = rk.workbench.rules(pairs.head(240), scores, rules).table
    where, side = drawn.bounding_box(), len(shown.map_names)
    place = [(where[size] / side) * (at + 0.5) for size, at in (("width", 40), ("height", 17))]
    drawn.click(position={"x": place[0], "y": place[1]})
    first, second = shown.map_names[17], shown.map_names[40]
    tool(page).get_by_text(re.compile(f"^{re.escape(first)}: ")).last.wait_for()
    status = page.locator(".rulekit-heat [role=status]")
    assert status.inner_text().startswith(f"{first} and {second} share")
    drawn.press("ArrowDown")
    drawn.press("Enter")
    below = shown.map_names[18]
    tool(page).get_by_text(re.compile(f"^{re.escape(below)}: ")).last.wait_for()
    assert keys_that_leave(page, "a", "ArrowLeft", "Escape") == ["Escape"]
    third.locator("button").press("Enter")
    wait(page, f"n => {SELECTED} === n", name)
    tool(page).get_by_role("tab", name="YAML").click()
    wait(
        page,
        "n => [...document.querySelectorAll('.rulekit-tool textarea')].some(t => t.value.includes(n))",
        name,
    )

    assert_controls_have_names_and_keys(page)
    contrast, text = least_contrast(page)
    assert contrast >= 4.5, text
    in_lab.reload(page)
    page.wait_for_selector(".rulekit-grid tbody tr", timeout=60_000)
    wait(page, f"n => {SELECTED} === n", name)
    assert page.errors == []


def test_a_dark_page_keeps_its_contrast(in_lab):
    page = in_lab("dark", START, PAIRS, RULES, dark=True)
    page.wait_for_selector(".rulekit-bars tbody tr", timeout=60_000)
    page.wait_for_selector("table.rulekit-worth tbody tr", timeout=60_000)
    for place in range(2):
        which = f".rulekit-tool >> nth={place}"
        page.locator(which).scroll_into_view_if_needed()
        contrast, text = least_contrast(page, which)
        assert contrast >= 4.5, text
    assert page.errors == []
