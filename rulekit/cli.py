"""The command line: `rulekit run RECIPE`, `rulekit annotate PAIRS`, `rulekit train WHAT`."""

from __future__ import annotations

import argparse
import sys

import yaml

from rulekit import annotate_cli


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 0 done, 1 a notebook failed, 2 bad arguments, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["train"]:  # its own program too: python -m rulekit.training under torchrun
        from rulekit.training.__main__ import main as train

        return train(argv[1:])
    parser = argparse.ArgumentParser(prog="rulekit", description="Rule-based preference labels.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="execute a recipe of notebooks, headless")
    run.add_argument(
        "recipe", help="name of a recipe (quickstart, hh-rlhf) or path of a .yaml file"
    )
    run.add_argument(
        "-p",
        nargs=2,
        metavar=("NAME", "VALUE"),
        action="append",
        default=[],
        help="override a parameter; the value is read as YAML",
    )
    run.add_argument("--runs", default="runs", help="folder for the results (default: runs)")
    run.add_argument("--resume", metavar="FOLDER", help="go on with this run, skip what is done")
    annotate = commands.add_parser("annotate", help="rate pairs into a store, or check a judge")
    annotate_cli.add_arguments(annotate)
    commands.add_parser("train", help="train a reward model or a Rule Adapter")
    arguments = parser.parse_args(argv)
    if arguments.command == "annotate":
        return annotate_cli.run(arguments)

    from rulekit import runs

    try:
        parameters = {name: yaml.safe_load(value) for name, value in arguments.p}
        folder = runs.run(
            arguments.recipe, parameters=parameters, runs=arguments.runs, resume=arguments.resume
        )
    except runs.StepFailed as error:
        print(f"rulekit: {error}", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError) as error:
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
