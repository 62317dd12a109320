"""The annotation desk in a real JupyterLab: keys answer, answers are on the disk."""

import pytest

from rulekit.inputs import read_answers
from tests.workbench.looking import (
    assert_controls_have_names_and_keys,
    keys_that_leave,
    least_contrast,
)

pytestmark = pytest.mark.slow

START = """import rulekit as rk

pairs, rules = rk.load_pairs("embedded").head(60), rk.RuleSet.load("embedded")
scores = rk.annotate(pairs, rules, rk.judge("recorded"), progress=False)"""
DESK = """tool = rk.workbench.desk(pairs, rules, scores, path="hand/labels.jsonl", person="ann")
tool"""
DESK_ROOT = ".rulekit-desk"
N_CELLS = "jupyterapp.shell.currentWidget.content.widgets.length"


def said(page, words: str) -> None:
    """Wait until the desk says so."""
    page.wait_for_function(
        "w => document.querySelector('.rulekit-said')?.textContent.includes(w)",
        arg=words,
        timeout=30_000,
    )


def asked(page) -> str:
    return page.locator(f"{DESK_ROOT} [data-asked]").get_attribute("data-asked")


def pressed(page, key: str, n_saved: int) -> None:
    page.keyboard.press(key)
    said(page, f"{n_saved} saved")


def test_keys_answer_and_every_answer_is_on_the_disk_before_the_next_pair(in_lab, lab):
    path = lab[0] / "hand" / "labels.jsonl"
    page = in_lab("desk", START, DESK)
    page.wait_for_selector(f"{DESK_ROOT} .rulekit-pair", timeout=60_000)
    said(page, "0 saved")
    assert_controls_have_names_and_keys(page)
    cells = page.evaluate(N_CELLS)

    first = asked(page)
    page.locator(DESK_ROOT).focus()
    pressed(page, "a", 1)
    assert asked(page) != first
    assert len(read_answers(path)) == 1
    pressed(page, "b", 2)
    pressed(page, "x", 3)
    assert read_answers(path)["preference"].to_list()[2] == 0
    pressed(page, "u", 2)
    pressed(page, "s", 3)
    answers = read_answers(path)
    assert answers["preference"].to_list()[2] is None
    assert answers["person"].unique().to_list() == ["ann"]
    sides = {(shown, "ab"[i]) for i, shown in enumerate(answers["shown"][:2])}
    for shown, key, side in zip(answers["shown"], "ab", answers["preference"], strict=False):
        assert side == (1 if shown[0] == key else -1), sides
    assert path.read_text(encoding="utf-8").count("\n") == 5  # an answer taken back is a line too

    page.keyboard.press("d")  # twice it deletes a cell in JupyterLab; x cuts it, b and a add one
    page.keyboard.press("d")
    assert page.evaluate(N_CELLS) == cells
    assert keys_that_leave(page, "d", "d", "c", "v", "Escape") == ["Escape"]
    page.wait_for_selector(".rulekit-progress p", timeout=30_000)
    assert "labels so far" in page.locator(".rulekit-progress").inner_text()

    page.keyboard.press("Tab")  # into the buttons, and a key there answers too
    page.wait_for_function("document.activeElement?.dataset.key === 'a'")
    page.keyboard.press("Enter")
    said(page, "4 saved")
    page.wait_for_function("document.activeElement?.classList.contains('rulekit-desk')")
    assert least_contrast(page)[0] >= 4.5
    assert page.errors == []


def test_a_killed_kernel_loses_no_answer(in_lab, lab):
    path = lab[0] / "kept" / "labels.jsonl"
    page = in_lab("killed", START, DESK.replace("hand/", "kept/"))
    page.wait_for_selector(f"{DESK_ROOT} .rulekit-pair", timeout=60_000)
    page.locator(DESK_ROOT).focus()
    pressed(page, "a", 1)
    pressed(page, "b", 2)
    page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")
    assert len(read_answers(path)) == 2

    again = in_lab("again", START, DESK.replace("hand/", "kept/"))
    again.wait_for_selector(f"{DESK_ROOT} .rulekit-pair", timeout=60_000)
    said(again, "2 saved")
    assert asked(again).split()[1] not in read_answers(path)["pair_id"].to_list()
