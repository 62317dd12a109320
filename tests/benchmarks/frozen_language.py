"""Heads on the states of a frozen language model beside the encoder's, on unseen prompts.

    python tests/benchmarks/frozen_language.py [--config smollm2-frozen]

Reward models on the rated HH-RLHF pairs, five folds by prompt, taught by people, by the sum of all rules
and by the recommended labels, with paired differences to the encoder's head of the same labels and to
the longer response; people's choices of all pairs likewise; then the adapter that reads rules, on the
pairs read under the hundred rules, for rules and prompts it never saw. States are read once, about ten
minutes of one quiet core, and kept.
"""

import argparse

import numpy as np
import polars as pl

import rulekit as rk
from rulekit import studies
from rulekit.inputs.sources import load_ratings

ENCODER = "encoder"


def rewards(config: str) -> None:
    """Print accuracies of reward models and their paired differences."""
    pairs = rk.load_pairs("hh-rule-votes")
    _, scores = load_ratings("hh-rule-votes")
    scores = scores.of(pairs)
    found = studies.recommended_labels(pairs, scores)
    margins = studies.reward_margins(pairs, {})
    gains = []
    for name, preset in ((config, config), (ENCODER, None)):
        taught = {"people": None, "sum": rk.label(scores)}
        fitted = studies.reward_margins(pairs, taught, config=preset)
        margins |= {f"{name}, {key}": fitted[f"trained on {key}"] for key in taught}
        margins[f"{name}, recommended"] = studies.recommended_rewards(
            pairs, found.every, found.fold, preset
        )
    for taught_by in ("people", "sum", "recommended"):
        for floor in (f"{ENCODER}, {taught_by}", "longer response"):
            both = {name: margins[name] for name in (f"{config}, {taught_by}", floor)}
            gains.append(studies.paired_gains(pairs, both, floor))
    print(studies.accuracy_table(pairs, margins).select("name", "value", "low", "high", "n"))
    print(pl.concat(gains).select("name", "against", "value", "low", "high", "p_value"))


def all_people(config: str) -> None:
    """Print the same of people's choices on all pairs of the source, rated or not."""
    pairs = rk.load_pairs("hh-rlhf/harmless-base-test")
    margins = {}
    for name, preset in ((config, config), (ENCODER, None)):
        fitted = studies.reward_margins(pairs, {"people": None}, config=preset)
        margins[name] = fitted["trained on people"]
        margins["longer response"] = fitted["longer response"]
    print(studies.accuracy_table(pairs, margins).select("name", "value", "low", "high", "n"))
    for floor in (ENCODER, "longer response"):
        both = {name: margins[name] for name in (config, floor)}
        print(studies.paired_gains(pairs, both, floor).select("against", "value", "low", "high"))


def unseen_rules(config: str, k: int = 5) -> None:
    """Print how well rules are named by their texts alone."""
    pairs = rk.load_pairs("hh-read")
    rules, scores = load_ratings("hh-read")
    scores = scores.of(pairs)
    chosen = rk.select(scores, k)
    for name, preset in ((config, config), (ENCODER, None)):
        logits = rk.training.held_out_rules_logits(pairs, rules, chosen, config=preset)
        for kind, values in logits.items():
            figures, labels = studies.adapter_report(pairs, scores, 1 / (1 + np.exp(-values)), k)
            print(name, kind, {key: value for key, value in figures.items() if "recall" in key})
            print(labels.select("name", "value", "low", "high", "n"))
        print(rk.training.held_out_rules_report(pairs, rules, chosen, config=preset))


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="smollm2-frozen")
    config = parser.parse_args().config
    pl.Config.set_tbl_rows(30).set_tbl_width_chars(160).set_fmt_str_lengths(60)
    rewards(config)
    all_people(config)
    unseen_rules(config)


if __name__ == "__main__":
    main()
