"""`rulekit train`: hands its words on to the training program, which also runs under ``torchrun``."""

from __future__ import annotations

import typer

from rulekit.cli.console import add

_EXAMPLES = """
  rulekit train reward --config encoder-cpu --output runs/a
  rulekit train adapter --config h200-8b -p train pairs.parquet --plan
  rulekit train judge --config smollm2-judge --output runs/judge
  torchrun --nproc-per-node 8 -m rulekit.training reward --config h200-8b
"""


def add_to(app: typer.Typer) -> None:
    """Add the command; all that follows it belongs to the program."""
    words = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    settings = {"context_settings": words, "options_metavar": "reward|adapter|judge [OPTIONS]"}
    add(app, "train", _command, _EXAMPLES, add_help_option=False, **settings)


def _command(ctx: typer.Context) -> int:
    """Train a reward model, a Rule Adapter or a judge."""
    from rulekit.training.__main__ import main

    return main(ctx.args)
