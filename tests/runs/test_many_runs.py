"""Many runs as one table, compared and taken away: a sweep of a small notebook that really ran."""

import json
import shutil
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.runs.flattened import flattened, frame_of
from tests.runs.tiny import tiny_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Folder of the sweep."""
    return tiny_sweep(tmp_path_factory.mktemp("tiny"))


def of(folder, k, seed):
    """The folder of one run."""
    return next(r.folder for r in rk.runs.find_runs(folder) if r.swept == {"k": k, "seed": seed})


def shares(k, seed):
    """What the notebook finds, by hand."""
    return np.random.default_rng(seed).random(60) < 0.4 + 0.15 * k


def test_the_table_has_a_row_a_run_with_typed_parameters_figures_and_cost(sweep, tmp_path):
    table = rk.runs.table(sweep, out=tmp_path / "runs.parquet")
    assert pl.read_parquet(tmp_path / "runs.parquet").equals(table)
    assert len(table) == 7
    assert table.filter(pl.col("status") == "failed")["k"].to_list() == [9]
    done = table.filter(pl.col("status") == "done").sort("k", "seed")
    assert done.select("k", "seed").rows() == [(k, s) for k in (1, 3) for s in range(3)]
    assert table.schema["k"] == table.schema["judge_calls"] == pl.Int64
    assert set(done["note"]) == {"as it is"}  # the default of the notebook
    assert done["tiny.accuracy"].to_list() == pytest.approx(
        [shares(k, s).mean() for k in (1, 3) for s in range(3)]
    )
    assert done["tiny.rows.b.value"].to_list() == pytest.approx(done["tiny.accuracy"] + 1)
    assert done["tiny.ks"].to_list()[0] == [1, 1]
    assert done["started"].is_between(datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC)).all()
    assert (done["seconds"] > 0).all()
    assert table["version.polars"].unique().to_list() == [pl.__version__]
    assert "nine is too many" in table.filter(pl.col("k") == 9)["error"][0]


def test_a_list_of_rows_is_called_by_what_tells_them_apart():
    grid = [{"name": n, "ties": 7, "value": 0.5, "k": k} for n in "ab" for k in (1, 5)]
    assert flattened({"step": {"grid": grid}})["step.grid.b, k=5.value"] == 0.5
    assert flattened({"x": [{"v": 1}, {"v": 1}]}) == {"x.0.v": 1, "x.1.v": 1}
    assert flattened({"x": [1, 2], "y": {"z": None}}) == {"x": [1, 2], "y.z": None}


def test_columns_of_whole_broken_and_mixed_values_keep_what_they_can():
    frame = frame_of([{"a": 1, "b": 1, "c": True}, {"a": 2.5, "b": "x"}], ["first"])
    assert frame.columns == ["first", "a", "b", "c"]
    assert frame.dtypes == [pl.String, pl.Float64, pl.String, pl.Boolean]
    assert frame["b"].to_list() == ["1", "x"]


def test_two_runs_show_only_what_changed_with_the_paired_interval(sweep):
    two = rk.runs.compare_two(of(sweep, 1, 0), of(sweep, 3, 0))
    assert two.parameters["name"].to_list() == ["k"]
    one, three = shares(1, 0), shares(3, 0)
    row = two.accuracy.row(0, named=True)
    assert (row["name"], row["pairs"], row["n"], row["prompts"]) == ("label", 60, 60, 20)
    assert row["changed"] == (one != three).sum() == len(two.pairs["label"])
    by_hand = rk.measures.mean_difference(three * 1.0 - one * 1.0, np.arange(60) // 3)
    assert row["difference"] == pytest.approx(by_hand.value)
    assert (row["low"], row["high"]) == pytest.approx((by_hand.low, by_hand.high))
    assert set(two.pairs["label"]["better"]) == {two.names[1]}  # on the same luck
    assert "tiny.hash" not in two.figures["name"].to_list()
    gain = two.figures.filter(pl.col("name") == "tiny.accuracy")["difference"][0]
    assert gain == pytest.approx(three.mean() - one.mean())
    assert two.frame().columns[:3] == ["kind", "name", "first"]


def test_a_run_is_not_compared_with_itself(sweep):
    with pytest.raises(ValueError, match="against itself; allowed: two runs"):
        rk.runs.compare_two(of(sweep, 1, 0), of(sweep, 1, 0))


def test_means_over_seeds_have_intervals_by_prompt_and_differences_are_paired(sweep):
    found = rk.runs.compare(sweep, by=("k",), metrics=("label", "tiny.accuracy"), against=(1,))
    assert found.varying == ("k", "seed")
    means = found.means.filter(pl.col("metric") == "accuracy of label").sort("k")
    every = [np.concatenate([shares(k, s) for s in range(3)]) * 1.0 for k in (1, 3)]
    groups = np.tile(np.arange(60) // 3, 3)
    assert means["value"].to_list() == pytest.approx([e.mean() for e in every])
    ends = rk.measures.mean_interval(every[1], groups, bounds=(0, 1))
    assert means.select("low", "high").row(1) == pytest.approx(ends)
    assert means["runs"].to_list() == [3, 3]
    assert means["pairs"].to_list() == [60, 60]
    gain = found.differences.filter(pl.col("metric") == "accuracy of label").row(0, named=True)
    by_hand = rk.measures.mean_difference(every[1] - every[0], groups)
    assert (gain["value"], gain["low"], gain["runs"]) == pytest.approx(
        (by_hand.value, by_hand.low, 3)
    )
    plain = found.differences.filter(pl.col("metric") == "tiny.accuracy").row(0, named=True)
    each = [shares(3, s).mean() - shares(1, s).mean() for s in range(3)]
    assert plain["value"] == pytest.approx(np.mean(each))
    assert plain["high"] == pytest.approx(rk.measures.mean_interval(each)[1])
    assert len(found.frame()) == len(found.means)


def test_one_factor_changes_and_the_others_stay(sweep):
    means, gains = rk.runs.one_factor(sweep, "k", {"k": 1}, ways=("note",), metrics=("label",))
    assert means["level"].to_list() == ["1", "3"]
    assert gains.select("level", "base").rows() == [("3", "1")]
    assert gains["value"][0] > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"by": ("q",)}, "no parameter 'q'; allowed: k, seed"),
        ({"metrics": ("nothing",)}, "no figure 'nothing'; allowed: such as accuracy of label"),
        ({"by": ("k",), "against": (7,)}, "against is 7; allowed: 1; 3"),
        ({"where": {"k": 4}}, "no run with k 4; allowed: 1, 3"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(sweep, given, said):
    with pytest.raises(ValueError, match=said):
        rk.runs.compare(sweep, **given)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no run in it"):
        rk.runs.table(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        rk.runs.find_runs(tmp_path / "nothing")


def test_only_runs_that_may_go_go(sweep, tmp_path):
    for n, name in enumerate(("failed", "kept", "foreign")):
        shutil.copytree(of(sweep, 1, n), tmp_path / name)
        told = json.loads((tmp_path / name / "run.json").read_text())
        told |= {"name": name, "status": "done" if name == "kept" else "failed"}
        (tmp_path / name / "run.json").write_text(json.dumps(told))
    (tmp_path / "foreign" / "thesis.docx").write_text("mine")
    (tmp_path / "not a run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "failed")
    found = {r.folder.name: r for r in rk.runs.removable(tmp_path)}
    assert set(found) >= {"failed", "foreign"}
    assert "kept" not in found
    assert found["foreign"].reason == "no run leaves thesis.docx"
    with pytest.raises(ValueError, match=r"foreign stays: no run leaves thesis\.docx"):
        rk.runs.remove(found["foreign"])
    assert rk.runs.remove(found["failed"]) > 0
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"kept", "foreign", "not a run", "link"}


def test_the_runs_of_a_sweep_stay_and_the_sweep_is_one_thing(sweep):
    (whole,) = rk.runs.removable(sweep.parent)
    assert (whole.kind, whole.status, whole.reason) == ("sweep", "failed", "")
    (one,) = rk.runs.removable(of(sweep, 1, 0), status=("done",))
    assert one.reason == "it is of a sweep, whose runs share their steps"
    (young,) = rk.runs.removable(sweep, older=1)
    assert young.reason == "it is not so old"


@pytest.mark.parametrize("given", [{"status": ("running",)}, {"status": ("x",)}, {"older": -1}])
def test_what_must_not_go_cannot_be_asked_for(tmp_path, given):
    with pytest.raises(ValueError, match="allowed: done, failed, interrupted"):
        rk.runs.removable(tmp_path, **given)


def test_tables_for_pages_and_papers_have_their_signs_in_place():
    frame = pl.DataFrame({"a_b": ["50 %", None], "x": [-0.5, 1234.0], "n": [1, 2]})
    assert rk.runs.markdown_table(frame, 2).splitlines() == [
        "| a\\_b | x | n |",
        "| --- | ---: | ---: |",
        "| 50 % | −0.50 | 1 |",
        "| – | 1,234.00 | 2 |",
    ]
    made = rk.runs.latex_table(frame, 1)
    assert r"50 \% & $-$0.5 & 1 \\" in made
    assert made.startswith("\\begin{tabular}{lrr}\n\\toprule\na\\_b & x & n \\\\\n")
