"""`python -m rulekit.training reward|adapter|judge --config …`, alone or under ``torchrun``.

Prints the plan, refuses what cannot fit, trains, and leaves a model folder. Exit status: 0 done,
1 the run failed, 2 bad arguments, 143 stopped by SIGTERM or SIGINT with a checkpoint to go on from.
``torchrun`` kills its processes 30 seconds after it hands on a signal; where a step and a checkpoint
take longer, set TORCH_ELASTIC_SHUTDOWN_TIMEOUT to more seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from safetensors import SafetensorError

from rulekit.training.language_judge_config import PRESETS as OF_JUDGES
from rulekit.training.presets import PRESETS

STOPPED = 143  # 128 + SIGTERM, as a shell reports it


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="rulekit train", description="Train a reward model, a Rule Adapter or a judge."
    )
    parser.add_argument("task", choices=("reward", "adapter", "judge"))
    parser.add_argument(
        "--config",
        help=f"a .yaml file or a preset; of a judge {', '.join(OF_JUDGES)}, else {', '.join(PRESETS)} "
        "(default: the first)",
    )
    parser.add_argument(
        "-p",
        nargs=2,
        metavar=("NAME", "VALUE"),
        action="append",
        default=[],
        help="override a setting; the value is read as YAML, null unsets it",
    )
    parser.add_argument(
        "--output", default="runs/train", help="folder of the run (default: runs/train)"
    )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew, drop the checkpoints there"
    )
    parser.add_argument(
        "--provenance",
        metavar="FILE",
        help="JSON object for the model card: data, rule_set, label_method, selector, …",
    )
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    arguments = parser.parse_args(argv)
    # Passes of many lengths leave holes in a GPU's memory that segments which grow do not.
    if "PYTORCH_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

    from rulekit.training.config import load_config, read_yaml

    try:
        if arguments.task == "judge":
            from rulekit.training.language_judge_command import run

            return run(arguments, _provenance(arguments.provenance), STOPPED)
        given = {name: read_yaml(value, f"-p {name}") for name, value in arguments.p}
        unset = [name for name, value in given.items() if value is None]
        if given.setdefault("task", arguments.task) != arguments.task:
            raise ValueError(f"-p task is {given['task']!r}; allowed: {arguments.task!r}, as told")
        config = load_config(arguments.config or "encoder-frozen", unset=unset, **given)
        if config.train is None:
            raise ValueError("train is not set; allowed: a file of pairs or a named source")
        told = _provenance(arguments.provenance)
        return _run(config, Path(arguments.output), arguments.plan, not arguments.restart, told)
    except (ValueError, FileNotFoundError) as error:
        print(f"rulekit train: {error}", file=sys.stderr)
        return 2
    except (FloatingPointError, OSError, SafetensorError) as error:
        print(f"rulekit train: {error}", file=sys.stderr)
        return 1


def _provenance(file: str | None) -> dict:
    """What a JSON file says for the model's card; nothing without a file."""
    if file is None:
        return {}
    try:
        told = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}; allowed: a JSON object") from None
    if not isinstance(told, dict):
        raise ValueError(f"{file} holds {type(told).__name__}; allowed: a JSON object")
    return told


def _run(config, output: Path, only_plan: bool, resume: bool, told: dict) -> int:
    from rulekit.training.engine import train

    pairs, given = _read(config.train, config)
    held, held_given = _read(config.evaluation, config) if config.evaluation else (None, {})
    main_process = int(os.environ.get("RANK", "0")) == 0

    def report(plan) -> None:
        if main_process:
            print(plan, flush=True)

    result = train(
        pairs,
        given.get("target"),
        config,
        output=output,
        evidence=given.get("evidence"),
        evaluation=held,
        evaluation_target=held_given.get("target"),
        evaluation_evidence=held_given.get("evidence"),
        resume=resume,
        on_plan=report,
        only_plan=only_plan,
        provenance={"data": config.train, **given.get("provenance", {}), **told},
    )
    if only_plan:
        if config.frozen:
            print("a head on a frozen model: there is nothing to plan")
        return 0
    if result.stopped:
        print(f"rulekit train: stopped; run again to go on from {output}", file=sys.stderr)
        return STOPPED
    if main_process:
        for name, value in result.metrics.items():
            print(f"{name:<16} {value:.4g}")
        print(f"the model is in {result.model_folder}")
    return 0


def _read(name: str, config) -> tuple:
    """Pairs of a file or source, and the columns or rule set that give their targets."""
    from rulekit.inputs import load_pairs

    pairs = load_pairs(name)
    given: dict = {"provenance": {}}
    if config.task == "reward":
        for column in ("target", "evidence"):
            if column in pairs.columns:
                given[column] = pairs[column].cast(float).to_numpy()
        told = "column target" if "target" in given else "column preference"
        given["provenance"]["label_method"] = told
        return pairs, given
    if "rules" not in pairs.columns or config.rules is None:
        raise ValueError(
            f"{name}: allowed for an adapter: pairs with a column 'rules', the ids of the rules "
            "selected for each, and the setting `rules`, the rule-set file"
        )
    given |= _selected(pairs, config)
    return pairs, given


def _selected(pairs, config) -> dict:
    """The column `rules` as a Selection over the rule set of the settings."""
    import numpy as np

    from rulekit.inputs.identity import Identity
    from rulekit.inputs.rules import RuleSet
    from rulekit.selection.registry import Selection

    rules = RuleSet.load(config.rules)
    position = {rule: j for j, rule in enumerate(rules.ids)}
    rows = pairs["rules"].to_list()
    sizes = {len(row or ()) for row in rows}
    unknown = sorted({rule for row in rows for rule in row or () if rule not in position})
    if len(sizes) != 1 or 0 in sizes or unknown:
        raise ValueError(
            f"column 'rules' names {sorted(sizes)} rules a pair and the unknown ids {unknown[:5]}; "
            f"allowed: as many for every pair, of those in {config.rules}"
        )
    indices = np.array([[position[rule] for rule in row] for row in rows], dtype=np.int32)
    target = Selection(indices, "given", len(rules), identity=Identity.of(rules, pairs))
    told = {"rule_set": f"{Path(config.rules).name}, {rules.hash}", "label_method": "column rules"}
    return {"target": target, "provenance": told}


if __name__ == "__main__":
    sys.exit(main())
