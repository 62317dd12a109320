"""`rulekit run`: a recipe of notebooks, headless, into a folder of results."""

from __future__ import annotations

import argparse
import sys

import yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "recipe", help="name of a recipe (quickstart, hh-rlhf) or path of a .yaml file"
    )
    parser.add_argument(
        "-p",
        nargs=2,
        metavar=("NAME", "VALUE"),
        action="append",
        default=[],
        help="override a parameter; the value is read as YAML",
    )
    parser.add_argument("--runs", default="runs", help="folder for the results (default: runs)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with this run, skip what is done")


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status: 0 done, 1 a notebook failed, 2 bad arguments, 130 interrupted."""
    from rulekit import runs

    try:
        parameters = {name: _value(name, value) for name, value in arguments.p}
        folder = runs.run(
            arguments.recipe, parameters=parameters, runs=arguments.runs, resume=arguments.resume
        )
    except runs.StepFailed as error:
        print(f"rulekit: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"rulekit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "rulekit: interrupted; --resume goes on from the last finished notebook",
            file=sys.stderr,
        )
        return 130
    print(f"open {folder}/html/ for the results; figures in {folder}/metrics.json")
    return 0


def _value(name: str, text: str):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"-p {name}: {text!r} is no YAML; allowed: such as 3 or [1, 2]") from None
