"""A script for Slurm: a sweep's folder comes in, a job array with a task a run goes out.

Each task calls `rulekit sweep --resume FOLDER --task I/N`; steps that runs share are executed by the
task that comes first, and the others wait for it.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from rulekit.files import write_atomically

_MOST = 1000  # tasks of an array, as Slurm is set up by default

_SCRIPT = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --output={logs}/%a.txt
#SBATCH --open-mode=append
#SBATCH --cpus-per-task=1
# Add what your cluster wants, such as --time, --mem, --gres or --partition.
{variables}
exec {python} -m rulekit sweep --resume {folder} --task "$SLURM_ARRAY_TASK_ID/{tasks}"
"""


def write_script(folder: Path, n_runs: int) -> Path:
    """Write `sweep.sbatch` for a sweep.

    Parameters
    ----------
    folder
        Of the sweep, which all nodes have to see.
    n_runs
        Number of its runs; from 1,001 on a task does several.

    Returns
    -------
    Path of the script.
    """
    tasks = min(n_runs, _MOST)
    (logs := folder / "logs").mkdir(exist_ok=True)
    names = ("RULEKIT_DATA", "RULEKIT_CACHE")
    given = {name: str(Path(os.environ[name]).resolve()) for name in names if os.environ.get(name)}
    text = _SCRIPT.format(
        name=shlex.quote(folder.name),
        last=tasks - 1,
        logs=logs,
        tasks=tasks,
        variables="\n".join(f"export {k}={shlex.quote(v)}" for k, v in given.items()),
        python=shlex.quote(sys.executable),
        folder=shlex.quote(str(folder)),
    )
    return write_atomically(
        folder / "sweep.sbatch", lambda path: path.write_text(text, encoding="utf-8")
    )
