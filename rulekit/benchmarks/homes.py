"""Where a benchmark's files are: a path, else the folder RULEKIT_DATA, else its public home.

Nothing of them is shipped. `layouts` reads what is found.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rulekit.benchmarks.layouts import ENDINGS
from rulekit.inputs.downloads import XSTEST_PAIRS, obtain


@dataclass(frozen=True)
class Home:
    """Where a benchmark's files are.

    Attributes
    ----------
    title
        What people call it.
    local
        Patterns under the folder RULEKIT_DATA.
    hub
        Name of its data set on the hub; empty: it is not there.
    files
        Which of its files are read.
    url
        Where people find it.
    """

    title: str
    local: tuple[str, ...]
    hub: str
    files: tuple[str, ...]
    url: str


def _hub(title: str, local: tuple[str, ...], name: str, *files: str) -> Home:
    return Home(title, local, name, files, f"https://huggingface.co/datasets/{name}")


HOMES = {
    "rewardbench": _hub(
        "RewardBench",
        ("benchmarks/rewardbench", "benchmarks/rewardbench.*", "benchmarks/rewardbench-1[.-]*"),
        "allenai/reward-bench",
        "data/filtered-*",
    ),
    "rewardbench-2": _hub(
        "RewardBench 2", ("benchmarks/rewardbench-2*",), "allenai/reward-bench-2", "data/test-*"
    ),
    "rm-bench": _hub("RM-Bench", ("benchmarks/rm-bench*",), "THU-KEG/RM-Bench", "*.json"),
    "rmb": Home(
        "RMB",
        ("benchmarks/rmb*",),
        "",
        (),
        "https://github.com/Zhou-Zoey/RMB-Reward-Model-Benchmark",
    ),
    "judgebench": _hub(
        "JudgeBench", ("benchmarks/judgebench*",), "ScalerLab/JudgeBench", "data/gpt-*"
    ),
    "xstest": Home(
        "XSTest",
        ("benchmarks/xstest*", "xstest/pairs.jsonl*"),
        "",
        (),
        "https://github.com/paul-rottger/exaggerated-safety",
    ),
}


def places(benchmark: str, path: str | Path | None = None) -> list[Path]:
    """Files or folders of a benchmark.

    Parameters
    ----------
    benchmark
        One of `HOMES`, or ``file``.
    path
        A file or folder; None looks under the folder RULEKIT_DATA, then fetches it.

    Raises
    ------
    FileNotFoundError
        If there is no such path; or none was given and its home cannot be reached.
    """
    if path is not None:
        path = Path(path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        return [path]
    if benchmark not in HOMES:
        raise FileNotFoundError(f"{benchmark!r} has no home; allowed: a file or folder")
    home = HOMES[benchmark]
    if found := _under_data(home):
        return found
    if benchmark == "xstest":
        return [obtain(XSTEST_PAIRS)]
    if not home.hub:
        raise FileNotFoundError(
            f"{home.title} is not on the hub: download it from {home.url} and name the folder"
            + _looked(home)
        )
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(home.hub, repo_type="dataset", allow_patterns=list(home.files))
    except Exception as error:  # of the network or the hub, each of its own kind
        raise FileNotFoundError(
            f"{home.title} is not here, and {home.url} cannot be reached "
            f"({type(error).__name__}); download it there and name the file or folder{_looked(home)}"
        ) from error
    return [Path(folder)]


def _under_data(home: Home) -> list[Path]:
    root = os.environ.get("RULEKIT_DATA")
    if not root:
        return []
    found = [p for pattern in home.local for p in sorted(Path(root).expanduser().glob(pattern))]
    return [p for p in dict.fromkeys(found) if p.is_dir() or p.name.lower().endswith(ENDINGS)]


def _looked(home: Home) -> str:
    root = os.environ.get("RULEKIT_DATA")
    return f" (RULEKIT_DATA is {root!r}: no {' or '.join(home.local)} in it)" if root else ""
