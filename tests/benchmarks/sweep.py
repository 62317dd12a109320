"""Sweeps beside a plain loop over `papermill.execute_notebook`, and what many runs leave behind.

    python tests/benchmarks/sweep.py loop [--runs N] [--workers N] [--parts N] [--folder DIR]
    python tests/benchmarks/sweep.py many [--runs N] [--workers N] [--folder DIR]

loop: N (20) runs of a recipe of two notebooks, the first of which all runs share, and 2 N runs of one
notebook of which none is shared: each time the same 2 N executions by `rulekit sweep`, pages and
reports included, and by a loop in one process, as one or in alternating parts, each a sweep of its
own that pays for its start and for the shared notebook again. Ratios of wall time, and of
CPU time of all processes, which other work on the machine disturbs less. The notebooks load and rate
the embedded corpus, select and label.

many: N (500) runs of a notebook that does nothing: seconds of wall and CPU time a run beyond the
cells' own, and every 50 runs the processes below this one, its open files and memory and that of the
process that forks the kernels, and the temporary folders that it made.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat

from rulekit import runs

LOAD = "pairs: str = 'embedded'  # data\nseed: int = 0  # of nothing\nartefacts: str = ''  # folder"
USE = "k: int = 5  # rules\nartefacts: str = ''  # folder"
RATE = "import rulekit as rk\ndata = rk.runs.load_inputs(pairs)\nscores = rk.runs.load_scores(data, artefacts=artefacts)\nfor _ in range(3):\n    table = rk.studies.rule_use(data.pairs, scores)\ntable"
LABEL = "import rulekit as rk\ndata = rk.runs.load_inputs('embedded')\nscores = rk.runs.load_scores(data)\nfound = rk.label(scores, rk.select(scores, k))\nrk.runs.save_metrics(artefacts, 'use', {'accuracy': rk.accuracy(found, data.pairs).value})\nfound"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("loop", "many"))
    parser.add_argument("--runs", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", type=int, default=1, help="of the loop, in turns")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweeps-") as folder:
        base = given.folder or Path(folder)
        base.mkdir(parents=True, exist_ok=True)
        if given.what == "loop":
            loop(base, given.runs, given.workers, given.parts)
        else:
            many(base, given.runs, given.workers)


def loop(base: Path, n: int | None, workers: int, n_parts: int) -> None:
    n = n or 20
    write(base / "rate.ipynb", LOAD, RATE)
    write(base / "use.ipynb", USE, LABEL)
    recipe = base / "both.yaml"
    recipe.write_text("name: both\nsteps: [{notebook: rate.ipynb}, {notebook: use.ipynb}]")
    for title, what, ks in (
        ("first of two notebooks shared", recipe, range(1, n + 1)),
        ("nothing shared", base / "use.ipynb", range(1, 2 * n + 1)),
    ):
        spent = {"sweep": [0.0, 0.0], "papermill": [0.0, 0.0]}
        chosen = [what] if what.suffix == ".ipynb" else [base / "rate.ipynb", base / "use.ipynb"]
        parts = [list(ks)[i::n_parts] for i in range(n_parts)]
        for part in parts:
            for name, does in (("sweep", by_sweep), ("papermill", by_papermill)):
                wall, cpu = time.perf_counter(), cpu_seconds()
                does(base, what, chosen, part, workers)
                spent[name][0] += time.perf_counter() - wall
                spent[name][1] += cpu_seconds() - cpu
        times = [spent["papermill"][i] / spent["sweep"][i] for i in (0, 1)]
        print(
            f"{title}: {2 * n} notebooks, papermill {spent['papermill'][0]:.0f} s, sweep "
            f"{spent['sweep'][0]:.0f} s: {times[0]:.2f} times; CPU {spent['papermill'][1]:.0f} and "
            f"{spent['sweep'][1]:.0f} s: {times[1]:.2f} times",
            flush=True,
        )


def by_sweep(base: Path, what: Path, notebooks: list[Path], ks: list[int], workers: int) -> None:
    runs.sweep(
        str(what), parameters={"k": ks}, runs=base / "runs", workers=workers, say=lambda line: None
    )


def by_papermill(base: Path, what: Path, notebooks: list[Path], ks: list[int], _: int) -> None:
    import papermill

    (out := base / "papermill").mkdir(exist_ok=True)
    for k in ks:
        for path in notebooks:
            given = {"artefacts": str(out)} | ({"k": k} if path.stem == "use" else {})
            papermill.execute_notebook(
                str(path), str(out / f"{path.stem}-{k}.ipynb"), given, progress_bar=False,
                extra_arguments=["--log-level=50"],
            )  # fmt: skip


def many(base: Path, n: int | None, workers: int) -> None:
    n = n or 500
    write(base / "nothing.ipynb", "k: int = 1  # a number", "print(k)")
    seen: list[dict] = []
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(base, seen, ended))
    before = temporary()
    wall, cpu = time.perf_counter(), cpu_seconds()
    watcher.start()
    folder = runs.sweep(
        str(base / "nothing.ipynb"), parameters={"k": range(1, n + 1)}, runs=base / "runs",
        workers=workers, say=lambda line: None,
    )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    ended.set()
    watcher.join()
    own = sum(json.loads(p.read_text())["cells"] for p in folder.glob("steps/*/step.json"))
    print(f"{runs.sweep_state(folder)}")
    print(
        f"a run beyond its cells: {(wall * workers - own) / n:.2f} s of one worker, "
        f"{wall / n:.2f} s of wall time with {workers} workers, {cpu / n:.2f} s of CPU time"
    )
    print(
        f"left: {len(below(os.getpid()))} processes, {len(temporary() - before)} temporary entries"
    )


def watch(base: Path, seen: list[dict], ended: threading.Event) -> None:
    """Print what is held, every 50 runs."""
    told = 0
    while not ended.wait(1):
        done = len(list(base.glob("runs/*/runs/[!.]*")))
        if done // 50 > told:
            told = done // 50
            template = next((p for p in below(os.getpid()) if parent_of(p) == os.getpid()), None)
            print(
                f"{done} runs: {len(below(os.getpid()))} processes, "
                f"{len(list(Path('/proc/self/fd').iterdir()))} open files, {rss(os.getpid()):.0f} "
                f"MiB here, {rss(template):.0f} MiB and {files_of(template)} files in the template",
                flush=True,
            )


def below(pid: int) -> list[int]:
    """Processes that descend from one."""
    parents = {int(p.name): parent_of(int(p.name)) for p in Path("/proc").glob("[0-9]*")}
    found = []
    for each in parents:
        at = each
        while at and at != pid:
            at = parents.get(at, 0)
        if at == pid and each != pid:
            found.append(each)
    return found


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def rss(pid: int | None) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
    except OSError:
        return float("nan")


def files_of(pid: int | None) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def temporary() -> set[str]:
    return {p.name for p in Path(tempfile.gettempdir()).glob("rulekit-*")}


def cpu_seconds() -> float:
    """CPU time of this process and of all that it has waited for."""
    used = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def write(path: Path, parameters: str, body: str) -> None:
    new = nbformat.v4
    cells = [
        new.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new.new_code_cell(body),
    ]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


if __name__ == "__main__":
    sys.exit(main())
