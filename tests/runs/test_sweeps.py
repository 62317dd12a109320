"""Sweeps carried out: steps are shared, runs are apart, failures stay alone, and any stop can be gone on from."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from rulekit import runs
from rulekit.runs import claims, kernel, step
from rulekit.runs.sweep_shown import Shown
from rulekit.runs.sweep_work import Work
from rulekit.runs.workers import Processes
from tests.cli.words import refused
from tests.cli.words import run as command
from tests.runs.notebooks import chain, write


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The folder of notebooks, and that of a sweep of which the run with k = 9 fails."""
    base = tmp_path_factory.mktemp("swept")
    recipe, said = chain(base), []
    folder = runs.sweep(
        str(recipe), parameters={"k": [1, 4, 9], "seed": 0}, runs=base / "runs", say=said.append
    )
    return base, folder, said


def told(folder: Path, run: str) -> dict:
    return json.loads((folder / "runs" / run / "run.json").read_text())


def figures(folder: Path, run: str) -> dict:
    return json.loads((folder / "runs" / run / "metrics.json").read_text())["use"]


def test_a_step_that_does_not_differ_runs_once_and_its_artefacts_reach_every_run(swept):
    _, folder, said = swept
    assert said[0] == f"chain: 3 runs, 4 steps → {folder}"
    assert figures(folder, "k-1")["token"] == figures(folder, "k-4")["token"]
    steps = [s for run in ("k-1", "k-4") for s in told(folder, run)["steps"]]
    assert [(s["name"], s["shared_by"]) for s in steps] == [("prepare", 3), ("use", 1)] * 2
    assert steps[0]["address"] == steps[2]["address"]


def test_what_a_run_changes_in_place_no_other_run_sees(swept):
    _, folder, _ = swept
    for run in ("k-1", "k-4"):
        assert figures(folder, run)["list"] == "nnk"
        assert (folder / "runs" / run / "artefacts" / "list.txt").read_text() == "nnk"
    (shared,) = {told(folder, run)["steps"][0]["address"] for run in ("k-1", "k-4")}
    assert (folder / "steps" / shared / "artefacts" / "list.txt").read_text() == "nn"


def test_no_state_in_memory_reaches_the_next_run_and_chance_is_its_own(swept):
    _, folder, _ = swept
    found = [figures(folder, run) for run in ("k-1", "k-4")]
    assert [(f["leak"], f["variable"]) for f in found] == [(1, "x"), (1, "x")]
    assert found[0]["chance"] != found[1]["chance"]


def test_a_run_of_a_sweep_has_what_a_run_alone_has(swept):
    _, folder, _ = swept
    base = folder / "runs" / "k-4"
    assert {p.name for p in base.iterdir()} == {
        "artefacts", "html", "metrics.json", "notebooks", "provenance.json", "report.html", "run.json",
    }  # fmt: skip
    assert {p.name for p in (base / "notebooks").iterdir()} == {"prepare.ipynb", "use.ipynb"}
    found = told(folder, "k-4")
    assert found["status"] == "done"
    assert found["swept"] == {"k": 4}
    assert found["parameters"] == {"k": 4, "seed": 0}
    assert found["peak_memory"] > 50
    assert found["judge_calls"] == 0
    assert found["seconds"] == pytest.approx(sum(s["seconds"] for s in found["steps"]), abs=0.02)
    about = json.loads((base / "provenance.json").read_text())
    assert about["steps"][1]["parameters"] == {"k": 4, "seed": 0}
    assert about["steps"][0]["parameters"] == {}  # it does not use k


def test_a_run_that_fails_keeps_its_notebook_with_the_error_and_stops_no_other(swept):
    _, folder, said = swept
    failed = folder / "runs" / "k-9"
    assert told(folder, "k-9")["status"] == "failed"
    assert "ValueError: k is 9" in told(folder, "k-9")["error"]
    cells = nbformat.read(failed / "failed-use.ipynb", as_version=4).cells
    errors = [o for c in cells for o in c.get("outputs", ()) if o.output_type == "error"]
    assert [error.evalue for error in errors] == ["k is 9"]
    assert "k-9: use, cell 5: ValueError: k is 9" in said
    state = runs.sweep_state(folder)
    assert state.status == "failed"
    assert state.counts == {"done": 2, "failed": 1, "running": 0, "waiting": 0}
    assert str(state) == "chain: 2 of 3 runs done, 1 failed"
    frame = state.frame()
    assert frame["run"].to_list() == ["k-1", "k-4", "k-9"]
    assert frame["error"].drop_nulls().to_list() == ["use, cell 5: ValueError: k is 9"]


def test_resuming_tries_the_failed_run_again_and_takes_the_rest_as_it_is(swept):
    base, folder, _ = swept
    before = figures(folder, "k-4")
    (base / "mended").touch()
    assert runs.sweep(resume=folder, say=lambda line: None) == folder
    assert told(folder, "k-9")["status"] == "done"
    assert not (folder / "runs" / "k-9" / "failed-use.ipynb").exists()
    assert figures(folder, "k-4") == before
    more = command("sweep", "--resume", folder, "-p", "k", "4,5", "-q")
    assert (more.status, more.out, more.err) == (0, "", "")
    assert figures(folder, "k-4") == before
    assert figures(folder, "k-5")["token"] == before["token"]
    assert list(runs.sweep_state(folder).runs) == ["k-4", "k-5"]
    assert not list(folder.glob(".claims/*"))
    assert not list(folder.glob("steps/.*"))


def test_a_kernel_that_ends_in_a_cell_fails_its_run_alone_and_the_cell_says_so(tmp_path):
    write(
        tmp_path / "ends.ipynb",
        "k: int = 1  # a number",
        "import os\nprint('before')",
        "if k == 2:\n    os._exit(3)",
    )
    ran = command("sweep", tmp_path / "ends.ipynb", "-p", "k", "1:3", "--runs", tmp_path / "runs")
    assert ran.status == 1
    (folder,) = (tmp_path / "runs").iterdir()
    assert told(folder, "k-1")["status"] == "done"
    assert told(folder, "k-2")["error"].startswith("ends, cell 5: DeadKernelError")
    cells = nbformat.read(folder / "runs/k-2/failed-ends.ipynb", as_version=4).cells
    assert cells[3].outputs[0].text == "before\n"
    assert cells[4].outputs[0].ename == "DeadKernelError"


def test_a_kernel_that_is_gone_before_any_cell_ran_is_lost_and_not_failed(tmp_path):
    notebook = write(tmp_path / "one.ipynb", "k: int = 1  # a number", "print(k)")
    gone = kernel.Forked()
    gone.kill()
    outcome = step.execute(notebook, "one", {}, tmp_path, forked=gone)
    assert outcome["status"] == "lost"
    assert not (tmp_path / "failed-one.ipynb").exists()


class Losing(Processes):
    """Says of the first tasks that their kernel was lost, as a machine without memory does."""

    lost = 2

    def wait(self, seconds):
        ended = super().wait(seconds)
        for _, outcome in ended:
            if self.lost:
                self.lost -= 1
                outcome |= {"status": "lost", "error": "lost"}
        return ended


def test_a_step_whose_kernel_was_lost_is_tried_again(tmp_path):
    notebook = write(tmp_path / "one.ipynb", "k: int = 1  # a number", "print(k)")
    plan = runs.plan_sweep(str(notebook))
    folder = tmp_path / "sweep"
    (folder / "steps").mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(plan.as_dict()))
    shown = Shown(folder, plan, plan.runs, lambda line: None)
    held = claims.Claims(folder)
    with Losing([notebook]) as pool:
        Work(folder, plan, plan.runs, pool, held, shown).all(1)
        assert pool.lost == 0
    held.close()
    assert runs.sweep_state(folder).status == "done"


def _children(pid: int) -> set[int]:
    found = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = dict(map(int, line.split()) for line in found.splitlines())
    return {p for p in parents if _descends(p, pid, parents)}


def _descends(pid: int, of: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != of:
        pid = parents[pid]
    return pid == of


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_sweep_that_is_stopped_leaves_no_process_and_goes_on_from_there(how, tmp_path):
    write(
        tmp_path / "slow.ipynb",
        "k: int = 1  # a number\nartefacts: str = ''  # folder",
        "import time\nfrom pathlib import Path",
        f"if k == 2 and not Path({str(tmp_path / 'quick')!r}).exists():\n"
        f"    Path({str(tmp_path / 'begun')!r}).touch()\n    time.sleep(600)",
    )
    words = ["sweep", "slow.ipynb", "-p", "k", "1:3", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rulekit", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    (folder,) = (tmp_path / "runs").iterdir()
    state = runs.sweep_state(folder)
    assert (state.status, state.runs) == ("running", {"k-1": "done", "k-2": "running"})
    started = _children(process.pid) - {process.pid}
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    if how == signal.SIGINT:
        assert process.returncode == 130
        line = f"rulekit: interrupted; to go on: rulekit sweep --resume {folder}"
        assert err.splitlines()[-1] == line
    assert runs.sweep_state(folder).status == "interrupted"
    assert not list(folder.glob("runs/k-2"))
    (tmp_path / "quick").touch()
    runs.sweep(resume=folder, say=lambda line: None)
    assert runs.sweep_state(folder).status == "done"


def test_tasks_of_a_slurm_array_share_their_steps_and_finish_the_sweep(tmp_path):
    recipe = chain(tmp_path)
    ran = command("sweep", recipe, "-p", "k", "1,2,3", "--runs", tmp_path / "runs", "--on", "slurm")
    (folder,) = (tmp_path / "runs").iterdir()
    assert ran.out == f"sbatch {folder}/sweep.sbatch\n"
    assert runs.sweep_state(folder).counts["waiting"] == 3
    script = folder / "sweep.sbatch"
    assert "#SBATCH --array=0-2\n" in script.read_text()
    tasks = [
        subprocess.Popen(
            ["bash", str(script)],
            env=os.environ | {"SLURM_ARRAY_TASK_ID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(3)
    ]
    for task in tasks:
        out, _ = task.communicate(timeout=240)
        assert task.returncode == 0, out
    state = runs.sweep_state(folder)
    assert (state.status, state.steps_done) == ("done", 4)
    assert len({figures(folder, f"k-{k}")["token"] for k in (1, 2, 3)}) == 1


def test_a_claim_is_held_by_one_and_falls_free_when_its_holder_is_gone(tmp_path):
    mine, other = claims.Claims(tmp_path), claims.Claims(tmp_path)
    assert mine.take("step")
    assert not other.take("step")
    mine.release("step")
    assert other.take("step")
    path = tmp_path / ".claims" / "step"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": gone.pid}))
    assert "step" not in claims.fresh(tmp_path)
    assert mine.take("step")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another"}))
    assert not other.take("step")
    long_ago = time.time() - 2 * claims.STALE
    os.utime(path, (long_ago, long_ago))
    assert other.take("step")
    for held in (mine, other):
        held.close()
    assert not list((tmp_path / ".claims").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "unknown sweep 'nothing'; allowed: ablations"),
        (["none.yaml"], "no such file: "),
        ([], "WHAT is missing; allowed: a sweep, a recipe, a notebook or a file"),
        (["03_selection", "-p", "k", "{"], "-p k: '{' is no YAML"),
        (["03_selection", "-p", "k", "0,1"], "parameter k is 0; allowed: input should be greater"),
        (["03_selection", "-p", "depth", "0,1"], "'depth'; allowed: pairs"),
        (["03_selection", "--on", "mars"], "on is 'mars'; allowed: processes, ray, slurm"),
        (["03_selection", "--workers", "0"], "workers is 0; allowed: 1 or more"),
        (["--resume", "none"], "is no sweep: there is no sweep.json in it"),
        (["--task", "0/2"], "--task without --resume"),
    ],
)
def test_what_cannot_be_swept_ends_in_one_line_before_anything_runs(
    words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert message in refused("sweep", *words)
    assert not list(tmp_path.iterdir())
