"""The run browser without a browser: its twin, and a sweep that is planned and started from it."""

import polars as pl
import pytest

import rulekit as rk
from rulekit.workbench.controls import as_html
from tests.runs.tiny import tiny_notebook, tiny_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Folder of a sweep: k 1 and 3 on three seeds, and k 9, which failed."""
    return tiny_sweep(tmp_path_factory.mktemp("browsed"))


@pytest.fixture
def tool(sweep):
    return rk.workbench.runs(sweep)


def folder_of(tool, k, seed):
    return next(f for f, r in tool.list.runs.items() if r.swept == {"k": k, "seed": seed})


def test_the_twin_lists_runs_with_parameters_and_figures(tool, sweep):
    found = tool.data()
    assert found["n_runs"] == 7
    assert {"run", "status", "k", "seed", "seconds"} <= set(found["runs"].columns)
    assert "note" not in found["runs"].columns  # it does not vary
    named = rk.workbench.runs(sweep, metrics=("tiny.acc*",))
    assert "tiny.accuracy" in named.data()["runs"].columns
    named.change(sort="tiny.accuracy")
    shown = named.data()["runs"]["tiny.accuracy"].drop_nulls().to_list()
    assert shown == sorted(shown, reverse=True)
    assert named.data()["runs"]["tiny.accuracy"][-1] is None  # the failed one is last


def test_search_and_filters_narrow_the_list(tool):
    tool.change(filters=(("k", "≥", "3"),))
    assert sorted(tool.data()["runs"]["k"]) == [3, 3, 3, 9]
    tool.change(filters=(), search="failed")
    assert tool.data()["runs"]["k"].to_list() == [9]
    with pytest.raises(ValueError, match="allowed: folders of the 7 runs"):
        tool.change(shown="nowhere")
    with pytest.raises(ValueError, match="sort is 'q'; allowed: run"):
        tool.change(sort="q")


def test_two_runs_side_by_side_are_those_of_compare(tool):
    first, second = folder_of(tool, 1, 0), folder_of(tool, 3, 0)
    assert tool.data()["two"] is None
    tool.change(first=first, second=second)
    two, known = tool.data()["two"], rk.runs.compare_two(first, second)
    assert two.accuracy.equals(known.accuracy)
    html = as_html(*tool.picture())
    for words in (
        "What was run, where it differs",
        "on the same pairs",
        "pairs have another label",
    ):
        assert words in html
    with pytest.raises(ValueError, match="beside itself; allowed: two runs"):
        tool.change(second=first)
    assert tool.state.second == second


def test_what_a_run_tells_and_its_report(tool):
    run = folder_of(tool, 3, 1)
    tool.change(shown=run)
    details = tool.data()["details"]
    kind = dict(details.select("name", "kind").rows())
    assert (kind["k"], kind["tiny.accuracy"], kind["commit"]) == (
        "parameter",
        "figure",
        "provenance",
    )
    assert tool.report().read_text().startswith("<!DOCTYPE html>")


def test_a_folder_without_runs_is_empty_and_says_so(tmp_path):
    tool = rk.workbench.runs(tmp_path / "nothing")
    assert tool.data()["n_runs"] == 0
    assert "No runs yet" in as_html(*tool.picture())
    tool.widget()


def test_a_sweep_is_planned_started_and_watched_to_its_end(tmp_path):
    notebook = str(tiny_notebook(tmp_path))
    tool = rk.workbench.runs(tmp_path / "runs", sweep=notebook, parameters="k 1,3\nseed 0:2")
    assert "if it is started" in as_html(*tool.picture())
    folder = tool.start()
    assert folder.parent == tmp_path / "runs"
    with pytest.raises(ValueError, match="a sweep is running"):
        tool.start()
    tool.sweep.wait()
    assert tool.data()["sweep"].counts["done"] == 4
    tool.refresh()
    assert tool.data()["runs"].filter(pl.col("status") == "done").height == 4


def test_a_sweep_without_a_name_or_a_value_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no sweep is named; allowed: "):
        rk.workbench.runs(tmp_path).start()
    with pytest.raises(ValueError, match="'k' has no value; allowed: a line such as k 1,3,5"):
        rk.workbench.runs(tmp_path, sweep="quickstart", parameters="k").start()


def test_a_sweep_that_does_not_begin_says_why(tmp_path):
    tool = rk.workbench.runs(tmp_path, sweep="no-such-sweep")
    with pytest.raises(RuntimeError, match=r"did not begin: .*unknown sweep 'no-such-sweep'"):
        tool.start()
