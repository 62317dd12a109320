"""A small language model that learns to rate, measured on prompts and rules that it has not seen.

    python tests/benchmarks/distilled_judge.py readings FOLDER [STEPS] [PROMPTS]
    python tests/benchmarks/distilled_judge.py votes FOLDER [STEPS] [PROMPTS]

`readings`: SmolLM2-135M learns the embedded train split and the readings of four fifths of the real
prompts, 20 rules left out; `votes`: half of the LLM's votes on HH-RLHF, by prompt, dead zone .01. It is
measured on the test split of the corpus, on the other readings, on OpenAI's propositions and on the
other half of the votes whose prompts no reader read, beside the untrained model, the encoder judge with
the same readings, and the nearest sentence. The run in FOLDER is resumed. STEPS of four conversations,
by default all; PROMPTS are measured of each set, by default all.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

import rulekit as rk
from rulekit.inputs.pairs import folds, split_pairs
from rulekit.inputs.readings import READ
from rulekit.inputs.sources import by_response, joined_labels, load_labelled
from rulekit.training import language_judge_data as recorded
from rulekit.training.language_judge_config import BRIEF

LEFT_OUT = 20


def halves():
    """The votes: rules, scores, pairs to learn, and pairs to measure on that no reader read."""
    pairs = rk.load_pairs("hh-rule-votes")
    rules, scores = rk.sources.load_ratings("hh-rule-votes")
    held = pl.Series(np.array(folds(pairs, 2, seed=0)) == 0)
    own = rk.studies.unread_pairs(pairs.filter(held), "hh-read")
    return rules, scores, pairs.filter(~held), own


def readings():
    """Labelled responses of four fifths of the prompts, a set a source, and of the others as one."""
    known, new = [], []
    for source in READ:
        rules, scores = rk.sources.load_ratings(source)
        for part, kept in zip(
            split_pairs(rk.load_pairs(source), 0.2, seed=0), (known, new), strict=True
        ):
            kept.append(by_response(part, rules, scores))
    return known, joined_labels(*new)


def learned(kind: str):
    """What the model is taught."""
    if kind == "votes":
        rules, scores, seen, _ = halves()
        return recorded.pair_ratings(seen, rules, scores)
    return [
        rk.training.Ratings(d.prompts, d.responses, d.rules, rk.training.soft_targets(d.scores))
        for d in (load_labelled("embedded", "train"), *readings()[0])
    ]


def main() -> None:
    kind, folder, *numbers = sys.argv[1:]
    steps, prompts = ([int(n) for n in numbers] + [None, None])[:2]
    out = LEFT_OUT if kind == "readings" else 0
    settings = {"left_out": out, "max_steps": steps, "warmup": 0.1}
    run = rk.training.train_language_judge(
        "smollm2-judge", learned(kind), output=Path(folder), evaluation=[], **settings
    )
    load = partial(rk.judge, "local", dtype="bfloat16")
    known, new = readings()
    unseen = recorded.left_out_rules(new.rules, LEFT_OUT, seed=0)
    seen = np.setdiff1d(np.arange(len(new.rules)), unseen)
    judges = {
        "distilled": load(model=str(run.model_folder)),
        "as it comes": load(model="smollm2-135m", template=BRIEF, least_mass=0.0),
        "encoder": rk.training.kit_encoder_judge(known, 0, seen),
        "nearest sentence": rk.studies.NearestSentence(),
    }
    for name, data in (("embedded test", load_labelled("embedded", "test")), ("readings", new)):
        for which, columns in (("80 rules learned", seen), ("20 left out", unseen)):
            print(name, which)
            print(rk.studies.judges_beside(judges, data.under(columns), prompts))
    gold = load_labelled("openai-rbr")
    for name, judge in judges.items():
        row = rk.studies.proposition_table(gold, judge).row(-1, named=True)
        print(
            f"propositions, {name}: {row['judge_auc']:.3f} [{row['judge_low']:.3f}, {row['judge_high']:.3f}]"
        )
    rules, scores, _, own = halves()
    print("votes", len(own))
    print(rk.studies.signs_beside(judges, own.head(prompts or len(own)), rules, scores))


if __name__ == "__main__":
    main()
