"""A small language model that learns to rate, measured on prompts and rules that it has not seen.

    python tests/benchmarks/distilled_judge.py readings FOLDER
    python tests/benchmarks/distilled_judge.py votes FOLDER -p epochs 3
    python tests/benchmarks/distilled_judge.py readings FOLDER --only distilled

`readings`: SmolLM2-135M learns the embedded train split and the readings of four fifths of the real
prompts, 20 rules left out; `votes`: half of the LLM's votes on HH-RLHF, by prompt, dead zone .01. It is
measured on the test split of the corpus, on the other readings, on OpenAI's propositions and on the
other half of the votes whose prompts no reader read, beside the untrained model, the encoder judge with
the same readings, and the nearest sentence. The run in FOLDER is resumed, and what a judge said stays
there: `--only` asks some of the judges, on a machine with a GPU say, and a later call with the same
settings the others.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import yaml

import rulekit as rk
from rulekit.files import sha256, write_atomically
from rulekit.inputs.pairs import folds, split_pairs
from rulekit.inputs.readings import READ
from rulekit.inputs.sources import by_response, joined_labels, load_labelled
from rulekit.judges.contract import Judge, Rating, wanted_cells
from rulekit.training import language_judge_data as recorded
from rulekit.training.language_judge_config import BRIEF

LEFT_OUT = 20
SETS = ("embedded", "readings", "votes", "propositions")


class Kept(Judge):
    """A judge whose answers lie in a folder; it is loaded once something new is asked."""

    def __init__(self, name: str, load, folder: Path) -> None:
        self.identity, self.load, self.folder, self.judge = name, load, folder, None

    def rate(self, prompts, responses, rules, mask=None) -> Rating:
        wanted = wanted_cells(prompts, responses, rules, mask)
        asked = sha256(repr((prompts, responses, rules.texts)).encode() + wanted.tobytes())
        file = self.folder / f"{self.identity.replace(' ', '-')}-{asked[:16]}.npy"
        if not file.is_file():
            self.judge = self.judge or self.load()
            said = self.judge.rate(prompts, responses, rules, wanted).probabilities[wanted]
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(file, partial(_save, said.astype(np.float32)))
        rating = Rating.blank(*wanted.shape)
        rating.probabilities[wanted] = np.load(file)
        return rating


def _save(values: np.ndarray, file: Path) -> None:
    with file.open("wb") as out:
        np.save(out, values)


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


def distilled(kind: str, folder: Path, settings: dict) -> Judge:
    """The model that learned, trained in the folder if it is not there yet."""
    given = {"warmup": 0.1, "left_out": LEFT_OUT if kind == "readings" else 0} | settings
    run = rk.training.train_language_judge(
        "smollm2-judge", learned(kind), output=folder, evaluation=[], **given
    )
    return rk.judge(
        "local", dtype="bfloat16", attention="grouped", model=str(run.model_folder), least_mass=0.0
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("readings", "votes"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, help="measured of each set; by default all")
    parser.add_argument("--only", action="append", help="one of the judges; may be given again")
    parser.add_argument("--on", action="append", choices=SETS, help="measured; by default all")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("SETTING", "VALUE"))
    given = parser.parse_args()
    settings = {name: yaml.safe_load(value) for name, value in given.p}
    known, new = readings()
    unseen = recorded.left_out_rules(new.rules, LEFT_OUT, seed=0)
    seen = np.setdiff1d(np.arange(len(new.rules)), unseen)
    load = {
        "distilled": lambda: distilled(given.kind, given.folder, settings),
        "as it comes": lambda: rk.judge(
            "local",
            dtype="bfloat16",
            attention="grouped",
            model="smollm2-135m",
            template=BRIEF,
            least_mass=0.0,
        ),
        "encoder": partial(rk.training.kit_encoder_judge, known, 0, seen),
        "nearest sentence": rk.studies.NearestSentence,
    }
    if wrong := set(given.only or ()) - set(load):
        parser.error(f"--only {wrong.pop()}; allowed: {', '.join(load)}")
    of = sha256(repr((given.kind, sorted(settings.items()))).encode())
    answers = given.folder / f"answers-{of[:8]}"
    judges = {n: Kept(n, f, answers) for n, f in load.items() if n in (given.only or load)}
    on = given.on or SETS
    sets = {"embedded": lambda: load_labelled("embedded", "test"), "readings": lambda: new}
    for name in (name for name in sets if name in on):
        for which, columns in (("80 rules learned", seen), ("20 left out", unseen)):
            print(f"{name}, {which}")
            data = sets[name]().under(columns)
            print(rk.studies.judges_beside(judges, data, given.prompts), flush=True)
    if "votes" in on:
        rules, scores, _, own = halves()
        print("votes", len(own))
        own = own.head(given.prompts or len(own))
        print(rk.studies.signs_beside(judges, own, rules, scores), flush=True)
    if "propositions" in on:
        gold = load_labelled("openai-rbr")
        for name, judge in judges.items():
            row = rk.studies.proposition_table(gold, judge).row(-1, named=True)
            interval = f"[{row['judge_low']:.3f}, {row['judge_high']:.3f}]"
            print(f"propositions, {name}: {row['judge_auc']:.3f} {interval}", flush=True)


if __name__ == "__main__":
    main()
