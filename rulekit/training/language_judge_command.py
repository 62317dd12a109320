"""`rulekit train judge`: the words of the command line come in, a judge in a folder goes out.

`rulekit.training.__main__` calls `run`, which also runs under ``torchrun``.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from rulekit.training.config import read_yaml
from rulekit.training.language_judge_config import load_judge_config


def run(arguments: Namespace, told: dict, stopped: int) -> int:
    """Train as told.

    Parameters
    ----------
    arguments
        Of the command line, parsed.
    told
        For the judge's card.
    stopped
        Exit status of a run that a signal stopped.

    Returns
    -------
    The exit status.
    """
    try:
        given = {name: read_yaml(value, f"-p {name}") for name, value in arguments.p}
        unset = [name for name, value in given.items() if value is None]
        config = load_judge_config(arguments.config, unset=unset, **given)
        return _train(config, arguments, told, stopped)
    except (ValueError, FileNotFoundError) as error:
        print(f"rulekit train: {error}", file=sys.stderr)
        return 2
    except (FloatingPointError, OSError) as error:
        print(f"rulekit train: {error}", file=sys.stderr)
        return 1


def _train(config, arguments: Namespace, told: dict, stopped: int) -> int:
    from rulekit.training.language_judge import plan_language_judge, train_language_judge

    main = int(os.environ.get("RANK", "0")) == 0
    if arguments.plan:
        if main:
            print(plan_language_judge(config))
        return 0
    output = Path(arguments.output)
    told = {"data": ", ".join(config.train), **told}
    result = train_language_judge(
        config, output=output, provenance=told, resume=not arguments.restart
    )
    if result.stopped:
        print(f"rulekit train: stopped; run again to go on from {output}", file=sys.stderr)
        return stopped
    if main:
        for name, value in result.metrics.items():
            print(f"{name:<20} {value:.4g}")
        print(f"the judge is in {result.model_folder}")
    return 0
