"""What a sweep will run, before anything does: its runs, their names, and which steps are one."""

import json

import polars as pl
import pytest

import rulekit as rk
from rulekit import runs
from rulekit.runs import addresses
from rulekit.runs.sweep_plan import judge_calls
from tests.cli.words import run as command
from tests.runs.notebooks import chain, write


@pytest.fixture
def recipe(tmp_path):
    return chain(tmp_path)


def sweep_of(tmp_path, text: str) -> dict:
    (tmp_path / "mine.yaml").write_text(f"name: mine\nrecipe: chain.yaml\n{text}")
    return runs.load_sweep(str(tmp_path / "mine.yaml")).runs


def test_a_grid_has_every_combination_a_zip_goes_in_step_and_a_list_is_told(recipe, tmp_path):
    found = sweep_of(tmp_path, "grid: {k: [1, 3], seed: 1:3}")
    assert list(found) == ["k-1_seed-1", "k-1_seed-2", "k-3_seed-1", "k-3_seed-2"]
    assert found["k-3_seed-2"] == {"k": 3, "seed": 2}
    found = sweep_of(tmp_path, "zip: {k: [1, 3], seed: [5, 6]}\nparameters: {n: 4}")
    assert list(found.values()) == [{"n": 4, "k": 1, "seed": 5}, {"n": 4, "k": 3, "seed": 6}]
    found = sweep_of(tmp_path, "list: [{k: 1}, {k: 3, n: 7}]\ngrid: {seed: 0:2}")
    assert list(found) == ["k-1_seed-0", "k-1_seed-1", "k-3_n-7_seed-0", "k-3_n-7_seed-1"]


def test_blocks_follow_each_other_within_what_stands_outside_and_equal_runs_are_one(
    recipe, tmp_path
):
    text = "grid: {seed: 0:2}\nparameters: {n: 2}\nblocks:\n- {grid: {k: [1, 2]}}\n- {list: [{k: 2}, {k: 3, n: 5}]}"
    found = list(sweep_of(tmp_path, text).values())
    assert [(run["k"], run["n"], run["seed"]) for run in found] == [
        (1, 2, 0), (1, 2, 1), (2, 2, 0), (2, 2, 1), (3, 5, 0), (3, 5, 1),
    ]  # fmt: skip


def test_values_on_the_command_line_take_the_place_of_those_of_the_file(recipe, tmp_path):
    sweep_of(tmp_path, "grid: {k: [1, 2], seed: 0:5}")
    given = {"seed": runs.values_of("7,8"), "n": runs.values_of("4")}
    found = runs.load_sweep(str(tmp_path / "mine.yaml"), given)
    assert list(found.runs) == ["k-1_seed-7", "k-1_seed-8", "k-2_seed-7", "k-2_seed-8"]
    assert {run["n"] for run in found.runs.values()} == {4}
    assert found.swept == ("k", "seed")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,3,5", [1, 3, 5]),
        ("1:6", [1, 2, 3, 4, 5]),  # and not a number to the base 60
        ("0:10:4,20", [0, 4, 8, 20]),
        ("5:2:-1", [5, 4, 3]),
        ("max_discrepancy,static", ["max_discrepancy", "static"]),
        ("[1, 3],[1, 5]", [[1, 3], [1, 5]]),
        ("1e-3,0.1", [0.001, 0.1]),
        ("{model: a},{model: b}", [{"model": "a"}, {"model": "b"}]),
        ("'a,b'", ["a,b"]),
        ("true,''", [True, ""]),
    ],
)
def test_values_are_read_as_they_are_written(text, values):
    assert runs.values_of(text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {k: 5:5}", "k: '5:5' names no number; allowed: such as 0:5"),
        ("zip: {k: [1, 2], seed: [1]}", "zip: k 2, seed 1 values; allowed: as many of each"),
        ("grid: [1]", "grid is [1]; allowed: a mapping of parameters"),
        ("list: {k: 1}", "list is {'k': 1}; allowed: a list of mappings"),
        ("blocks: [{grids: {}}]", "block 1: {'grids': {}}; allowed keys: grid, list, parameters, zip"),
        ("grids: {}", "grids; allowed: a mapping with the keys blocks"),
        ("notebook: use.ipynb", "allowed: recipe or notebook, one of them"),
        ("inputs: [none.csv]", "inputs: no such file"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_sweep_says_what_is_allowed(text, message, recipe, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        sweep_of(tmp_path, text)
    assert message in str(error.value)


def test_names_of_runs_are_names_of_files_and_differ_where_values_do(recipe, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.txt").write_text("It is kind.")
    texts = [str(tmp_path / name / "rules.txt") for name in "ab"]
    found = list(runs.load_sweep("03_selection", {"rules": texts, "k": [1, 2]}).runs)
    assert len(set(found)) == 4
    assert all(run.startswith("rules-rules.txt_k-") for run in found)
    assert not any("/" in run for run in found)


def address_of(recipe, name: str, **parameters) -> str:
    plan = runs.plan_sweep(str(recipe), parameters=parameters)
    return {plan.steps[a].name: a for a in plan.runs[0].steps}[name]


def test_a_step_has_another_address_as_soon_as_anything_it_rests_on_differs(recipe, tmp_path):
    notebook = tmp_path / "use.ipynb"
    usual = address_of(recipe, "use", k=3)
    assert address_of(recipe, "use", k=3) == usual
    assert address_of(recipe, "use", k=4) != usual
    assert address_of(recipe, "use", k=3, n=5) != usual  # of the step before it
    notebook.write_text(notebook.read_text().replace("10 / k", "11 / k"))
    assert address_of(recipe, "use", k=3) != usual
    assert address_of(recipe, "prepare", k=3) == address_of(recipe, "prepare", k=4)


def test_outputs_and_numbers_of_cells_do_not_count(recipe, tmp_path):
    before = address_of(recipe, "use")
    content = json.loads((tmp_path / "use.ipynb").read_text())
    content["cells"][2]["execution_count"] = 7
    content["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    (tmp_path / "use.ipynb").write_text(json.dumps(content))
    assert address_of(recipe, "use") == before


def test_a_file_counts_with_what_is_in_it_and_so_does_one_that_the_sweep_names(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("1")
    notebook = write(tmp_path / "reads.ipynb", "source: str = ''  # a file", "print(source)")
    given = {"source": str(data)}

    def address():
        return next(iter(runs.plan_sweep(str(notebook), parameters=given).steps))

    before = address()
    data.write_text("2 and more")
    assert address() != before
    sweep = tmp_path / "mine.yaml"
    sweep.write_text("name: mine\nnotebook: reads.ipynb\ninputs: [data.csv]")
    before = list(runs.plan_sweep(str(sweep)).steps)
    data.write_text("3")
    assert list(runs.plan_sweep(str(sweep)).steps) != before


@pytest.mark.parametrize(
    ("cell", "uses"),
    [
        ("print(k)", True),
        ("print(f'{k}')", True),
        ("k += 1", True),
        ("print(globals()['k'])", True),
        ("eval('k')", True),
        ("%run other.ipynb", True),
        ("!echo $k", True),
        ("x = 'k'", False),
        ("k = 3", False),
        ("d = {}\nd.k = 1", False),
    ],
)
def test_a_parameter_counts_where_code_can_use_it(cell, uses, tmp_path):
    notebook = write(tmp_path / "one.ipynb", "k: int = 1  # a number", cell)
    names = addresses.used(notebook)
    assert (names is None or "k" in names) == uses
    if not uses:
        with pytest.raises(ValueError, match="'k' changes nothing: no code of one uses it"):
            runs.plan_sweep(str(notebook), parameters={"k": [1, 2]})


def test_a_step_that_comes_after_some_gets_only_these_and_is_shared_the_more(recipe, tmp_path):
    write(tmp_path / "last.ipynb", "n: int = 2  # rows\nartefacts: str = ''  # folder", "print(n)")
    steps = "- {notebook: prepare.ipynb}\n- {notebook: use.ipynb}\n- {notebook: last.ipynb%s}\n"
    recipe.write_text("name: chain\nsteps:\n" + steps % "")
    assert len(runs.plan_sweep(str(recipe), parameters={"k": [1, 2, 3]}).steps) == 7
    recipe.write_text("name: chain\nsteps:\n" + steps % ", after: [prepare]")
    plan = runs.plan_sweep(str(recipe), parameters={"k": [1, 2, 3]})
    assert len(plan.steps) == 5
    (last,) = [step for step in plan.steps.values() if step.name == "last"]
    assert [plan.steps[a].name for a in last.before] == ["prepare"]
    recipe.write_text("name: chain\nsteps:\n" + steps % ", after: [nothing]")
    with pytest.raises(ValueError, match=r"step 3: after is .* allowed: a list of earlier steps"):
        runs.plan_sweep(str(recipe))


def test_judge_calls_are_counted_once_for_each_response_and_rule_and_not_for_recorded(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [("p", "a", "b"), ("p", "a", "c"), ("q", "a", "b")]  # five distinct responses
    pl.DataFrame(
        [{"pair_id": str(i), "prompt": p, "response_a": a, "response_b": b, "preference": 1}
         for i, (p, a, b) in enumerate(rows)]
    ).write_ndjson(pairs)  # fmt: skip
    rules = tmp_path / "rules.txt"
    rules.write_text("It is kind.\nIt is short.\n")
    given = {"pairs": str(pairs), "rules": str(rules)}
    plan = runs.plan_sweep("03_selection", parameters=given | {"k": [1, 2]})
    assert judge_calls(plan.steps, list(plan.steps)) == {"encoder": 2 * 5 * 2}
    plan = runs.plan_sweep("quickstart", parameters=given | {"k": [1, 2]})
    # 01 only names the judge, 02 asks whatever k is, and the others find what it got.
    assert judge_calls(plan.steps, list(plan.steps)) == {"encoder": 5 * 2}
    with rk.Store(tmp_path / "ratings.sqlite"):
        pass
    given |= {"ratings": str(tmp_path / "ratings.sqlite"), "judge": "encoder"}
    plan = runs.plan_sweep("quickstart", parameters=given)
    assert judge_calls(plan.steps, list(plan.steps)) == {"encoder": 5 * 2}
    plan = runs.plan_sweep("03_selection", parameters={"k": [1, 2]})
    assert plan.summary()["judge_calls"] == {}


def test_a_dry_run_shows_runs_sharing_time_and_cost_and_leaves_nothing(
    recipe, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    ran = command("sweep", "chain.yaml", "-p", "k", "1,2", "--dry-run")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "k-1: prepare*, use",
        "k-2: prepare*, use",
        "",
        "2 runs of chain, 4 steps, of which 1 are shared: 3 to execute, 0 done",
        "time on one core: unknown (not timed yet: prepare, use)",
        "judge calls: none",
    ]
    assert {p.name for p in tmp_path.iterdir()} == before
    for name, seconds in (("prepare", 3.0), ("use", 5.0)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        step = {"name": name, "status": "done", "seconds": seconds}
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"steps": [step]}))
    assert (
        "time on one core: 13 s"
        in command("sweep", "chain.yaml", "-p", "k", "1,2", "--dry-run").out
    )
    found = command("sweep", "chain.yaml", "-p", "k", "1,2", "--dry-run", "--json").json
    assert (found["seconds"], found["to_run"], len(found["planned"])) == (13.0, 3, 2)


def test_every_sweep_of_the_kit_can_be_planned():
    for name in runs.sweeps():
        plan = runs.plan_sweep(name)
        assert len(plan.runs) > 1
        assert len(plan.steps) < sum(len(run.steps) for run in plan.runs)
