"""`rulekit bench gpu`: rating and training by an 8B model, measured on this machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import FAILED, Json, Quiet, Verbose, Voice, add, answer, group

_EXAMPLES = """
  rulekit bench gpu
  rulekit bench gpu --only full --only lora --output runs/h100
  rulekit bench gpu --tiny --pairs embedded
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    bench = group("Measure how fast this machine rates and trains.")
    add(bench, "gpu", _gpu_command, _EXAMPLES)
    app.add_typer(bench, name="bench")


def _gpu_command(
    output: Annotated[
        str, typer.Option(help="Folder of gpu.json and gpu.html; goes on where it was left.")
    ] = "bench-gpu",
    only: Annotated[
        list[str] | None, typer.Option(metavar="CASE", help="A case; may be given again.")
    ] = None,
    pairs: Annotated[
        str, typer.Option(help="Source or file of pairs to train on.")
    ] = "hh-rlhf/harmless-base-test",
    steps: Annotated[int, typer.Option(help="Steps of a training case, at least 3.")] = 8,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="The same way with a tiny model, on a CPU too.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Measure rating and training by an 8B model of random weights, about 25 minutes in all."""
    return answer(_gpu, locals())


def _gpu(arguments: SimpleNamespace) -> int:
    from rulekit.throughput import bench_gpu

    voice = Voice.of(arguments)
    found = bench_gpu(
        arguments.output,
        size="tiny" if arguments.tiny else "8b",
        pairs=arguments.pairs,
        only=arguments.only or (),
        steps=arguments.steps,
        say=voice.note,
    )
    good = [name for name, case in found["cases"].items() if case["status"] == "measured"]
    bad = [n for n, c in found["cases"].items() if c["status"] in ("failed", "too long")]
    voice.result(f"measured: {', '.join(good) or 'nothing'}", found)
    return FAILED if bad else 0
