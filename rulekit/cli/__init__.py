"""The command line: arguments come in, an exit status goes out; one file a command.

`rulekit run RECIPE` (`run`), `rulekit annotate PAIRS` (`annotate`), `rulekit store ACTION`
(`store`), `rulekit train WHAT` (`rulekit.training.__main__`, a program of its own under ``torchrun``).
"""

from __future__ import annotations

import argparse
import sys

from rulekit import __version__
from rulekit.cli import annotate, run, store


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 0 done, 1 it failed, 2 bad arguments, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["train"]:
        from rulekit.training.__main__ import main as train

        return train(argv[1:])
    parser = argparse.ArgumentParser(prog="rulekit", description="Rule-based preference labels.")
    parser.add_argument("--version", action="version", version=f"rulekit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command, does in (
        ("run", run, "execute a recipe of notebooks, headless"),
        ("annotate", annotate, "rate pairs into a store, or check a judge"),
        ("store", store, "check, merge or export files of ratings"),
    ):
        own = commands.add_parser(name, help=does)
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    commands.add_parser("train", help="train a reward model or a Rule Adapter")
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)
