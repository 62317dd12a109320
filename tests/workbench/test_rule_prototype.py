"""The rule prototyper: its twin, its controls without a browser, and in a real JupyterLab."""

import functools
import json
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import yaml

import rulekit as rk
from tests.judges.faulty_server import Server, serve
from tests.workbench.looking import assert_controls_have_names_and_keys, least_contrast

DOCTOR = "The response names a doctor or another professional to turn to."


def without_a_loop(test):
    """Run a test in a thread: Playwright leaves an event loop running in the main one."""

    @functools.wraps(test)
    def run(**given):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(test, **given).result()

    return run


@pytest.fixture
def tool(rated):
    pairs, rules, scores = rated
    return rk.workbench.prototype(pairs, rules, "encoder", scores, sample=12, budget=200)


def test_each_rule_has_a_row_with_its_figures_once_it_is_rated(tool):
    tool.change(text=f"{DOCTOR}\n- The response is better than the other one.\n")
    before = tool.data()
    assert before["cost"]["ratings"] > 0
    assert before["rows"]["state"].to_list() == ["not rated", "not rated"]
    assert tool.bench.trial.sent == 0
    tool.rate()
    found = tool.data()
    rows = found["rows"]
    again = rk.studies.new_rule_rows(
        tool.bench.trial.pairs,
        tool.bench.trial.scores(rk.RuleSet.from_text(tool.state.text)),
        tool.bench.scores,
    )
    assert rows.select(again.columns).equals(again)
    assert rows["state"].to_list() == ["rated", "rated"]
    assert "comparison" in rows["remarks"][1]
    assert found["cost"]["ratings"] == 0
    assert len(found["deciding"]) == 3
    assert len(found["agreement"]) == len(tool.bench.rules)
    html = "".join(rk.workbench.controls.as_html(p) for p in tool.picture())
    assert "Pairs in which" in html
    assert "over the budget" not in html


def test_near_duplicates_and_rules_of_the_set_are_told(tool):
    old = tool.bench.rules[0]
    tool.change(text=f"{old.text}\n{old.text.rstrip('.')} always.")
    rows = tool.data()["rows"]
    assert rows["state"][0] == f"already in the set: {old.id}"
    assert old.id in rows["remarks"][1]
    assert rows["remarks"][1].startswith(("near-duplicate", "opposite"))
    assert len(set(rows["rule"]) - set(tool.bench.rules.ids)) == 1


@without_a_loop
def test_typing_rates_shows_and_accepts_and_saves_with_the_diff(tool, tmp_path):
    tool.widget()
    tool._box.value = DOCTOR  # without an event loop nothing is put off
    assert tool.bench.trial.wait(60)
    (row,) = tool._grid.page["rows"]
    assert row["cells"][1] == "rated"
    assert row["cells"][3].endswith("%")
    assert "All that is written is rated" in tool._cost.value
    tool._box.value = DOCTOR + "\nThe response is"
    assert "ratings" in tool._cost.value
    assert len(tool._grid.page["rows"]) == 2
    assert tool.bench.trial.wait(60)
    assert len(tool.rules) == len(tool.bench.rules)  # nothing is accepted by itself
    tool._asked({"row": "names-doctor-another-professional"})
    name = tool._grid.page["rows"][0]["key"]
    tool.accept(name)
    assert tool.rules[name].text == DOCTOR
    with pytest.raises(ValueError, match="already"):
        tool.accept(name)
    diff = tool.save(path := tmp_path / "rules.yaml")
    assert diff.filter(pl.col("change") == "added")["rule"].to_list() == [name]
    assert yaml.safe_load(path.read_text())["rules"][-1]["text"] == DOCTOR
    assert "Changes to the set" in tool._diff.value


@without_a_loop
def test_what_cannot_be_read_and_what_is_too_dear_is_said(rated):
    pairs, rules, scores = rated
    tool = rk.workbench.prototype(pairs, rules, "encoder", scores, sample=12, budget=5)
    tool.widget()
    assert "Nothing is written yet" in tool._cost.value
    tool._box.value = "The response is kind.\nThe response is kind."
    assert "its text is already that of line 1" in tool._cost.value
    tool._box.value = DOCTOR
    assert "over the budget" in tool._cost.value
    assert tool.bench.trial.wait(60)
    assert tool.bench.trial.sent == 0
    assert "over the budget" in tool.data()["rows"]["state"][0]


@without_a_loop
def test_proposals_come_from_the_server_and_are_only_offered(rated):
    pairs, rules, scores = rated
    said = json.dumps([DOCTOR])
    with serve(Server(lambda body: {said: 1.0})) as server:
        tool = rk.workbench.prototype(
            pairs,
            rules,
            "encoder",
            scores,
            sample=12,
            server={"model": "m", "base_url": server.url},
            proposing={"most_pairs": 3},
        )
        tool.widget()
        tool._propose()
        tool._asker.join(60)
    assert len(server.requests) == 3
    assert DOCTOR in tool._proposed.value
    assert (tool.state.text, len(tool.rules)) == ("", len(rules))
    tool._choice.value = (DOCTOR,)
    tool._write()
    assert tool.state.text == DOCTOR
    assert tool.bench.trial.wait(60)
    assert len(tool.rules) == len(rules)


LIVE = f"""
import rulekit as rk
pairs, rules = rk.load_pairs("embedded"), rk.RuleSet.load("embedded")
scores = rk.annotate(pairs, rules, rk.judge("recorded"), progress=False)
tool = rk.workbench.prototype(pairs, rules, "encoder", scores, sample=12, budget=500, text={DOCTOR!r})
tool
"""
ROW = "n => document.querySelectorAll('.rulekit-tool .rulekit-grid tbody tr').length === n"
CELLS = """n => { const row = document.querySelectorAll('.rulekit-tool .rulekit-grid tbody tr')[n];
  return row ? [...row.children].map(c => c.innerText) : [] }"""


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_edited_rule_changes_its_row_in_jupyterlab(in_lab, dark):
    page = in_lab(f"prototype-{'dark' if dark else 'light'}", LIVE, dark=dark)
    page.wait_for_selector(".rulekit-tool textarea", timeout=90_000)
    page.wait_for_function(f"() => ({CELLS})(0)[1] === 'rated'", timeout=90_000)
    before = page.evaluate(CELLS, 0)
    box = page.get_by_role("textbox", name="rules")
    box.fill("The response gives a list of steps with numbers.")
    page.wait_for_function(
        "old => { const c = (" + CELLS + ")(0); return c[0] !== old && c[1] === 'rated' }",
        arg=before[0],
        timeout=60_000,
    )
    assert page.evaluate(CELLS, 0) != before
    box.press("End")
    box.press_sequentially("\nThe response is better and honest.")
    page.wait_for_function(ROW, arg=2, timeout=30_000)
    page.wait_for_function(f"() => ({CELLS})(1)[1] === 'rated'", timeout=60_000)
    assert any("comparison" in cell for cell in page.evaluate(CELLS, 1))
    page.get_by_role("button", name="Accept").click()
    page.wait_for_function(
        "() => document.querySelector('.rulekit-tool').innerText.includes('Changes to the set')"
    )
    assert_controls_have_names_and_keys(page)
    contrast, text = least_contrast(page)
    assert contrast >= 4.5, text
    assert page.errors == []
