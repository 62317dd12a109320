"""A small language model fine-tuned as reward model and as adapter, on prompts it has not seen.

    python tests/benchmarks/fine_tuned_language.py labels FOLDER    what the recommended labels are
    python tests/benchmarks/fine_tuned_language.py train FOLDER     five folds by prompt for each teacher
    python tests/benchmarks/fine_tuned_language.py table FOLDER     beside the encoder's frozen head

Reward models on the 1,160 rated HH-RLHF pairs, taught by people, by the sum of all rules and by the
recommended labels, and by people on all 2,308 pairs; the adapter that names five rules of each rated
pair. Folds are by prompt; people's choice is the truth. `train` needs a GPU, or an hour for each teacher
on two cores. Each fold is kept when it is done, under its settings: the same call goes on where it was
left, and several processes may train different teachers (`--only`). `table`, asked with the same
settings, takes the folds that are there.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import yaml

import rulekit as rk
from rulekit import studies
from rulekit.files import sha256
from rulekit.inputs.pairs import folds
from rulekit.inputs.sources import load_ratings
from rulekit.training import RewardModel, engine

ALL, ADAPTER = "people, all pairs", "adapter"
TEACHERS = ("people", "sum", "recommended", ALL, ADAPTER)
N_FOLDS, K = 5, 5
LABELS = "recommended-labels.npy"


def rated():
    """The rated pairs and their scores."""
    pairs = rk.load_pairs("hh-rule-votes")
    return pairs, load_ratings("hh-rule-votes")[1].of(pairs)


def pairs_of(teacher: str) -> pl.DataFrame:
    """What a teacher labels."""
    return rk.load_pairs("hh-rlhf/harmless-base-test") if teacher == ALL else rated()[0]


def write_labels(folder: Path) -> None:
    """The recommended labels as P(A is preferred), a row a fold whose preferences they do not know."""
    pairs, scores = rated()
    found = studies.recommended_labels(pairs, scores)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / LABELS, [one.aligned(pairs).target for one in found.every])


def targets(teacher: str, folder: Path):
    """For each fold what is learned: P(A is preferred), or None for people's choice."""
    if teacher == "recommended":
        return list(np.load(folder / LABELS))
    one = rk.label(rated()[1]) if teacher == "sum" else None
    return [one] * N_FOLDS


def file_of(teacher: str, folder: Path, config: str, settings: dict) -> Path:
    """Where what a teacher's models say of each pair is kept."""
    return folder / f"{teacher}-{sha256(repr((config, sorted(settings.items()))))[:8]}.npy"


def train(teacher: str, folder: Path, config: str, settings: dict) -> None:
    """Margins, or logits of rules, of the pairs of each fold from a model of the others."""
    file, pairs = file_of(teacher, folder, config, settings), pairs_of(teacher)
    if teacher == ADAPTER and not file.is_file():
        chosen = rk.select(rated()[1], K)
        np.save(
            file,
            rk.training.cross_fit_adapter(pairs, chosen, config=f"{config}-adapter", **settings),
        )
    if teacher == ADAPTER:
        return
    fold = np.array(folds(pairs, N_FOLDS, 0))
    out = np.load(file) if file.is_file() else np.full(len(pairs), np.nan)
    for f, target in enumerate(targets(teacher, folder)):
        if not np.isnan(out[fold == f]).any():
            continue
        seen, test = (pl.Series(mask) for mask in (fold != f, fold == f))
        if target is not None:
            target = (
                target.aligned(pairs).rows(fold != f) if teacher == "sum" else target[fold != f]
            )
        model = engine.trained(
            RewardModel,
            pairs.filter(seen),
            target,
            {"preset": f"{config}-reward", "task": "reward", "evaluation_share": 0.0} | settings,
            output=None,
        )
        out[fold == f] = model.margin(pairs.filter(test))
        np.save(file, out)


def table(folder: Path, config: str, settings: dict) -> None:
    """Print accuracies and paired differences of what has been trained."""
    kept = {name: file_of(name, folder, config, settings) for name in TEACHERS}
    there = [name for name in TEACHERS if kept[name].is_file()]
    pairs, scores = rated()
    every = pairs_of(ALL)
    heads = studies.reward_margins(pairs, {"people": None, "sum": rk.label(scores)})
    heads = {name.removeprefix("trained on "): margin for name, margin in heads.items()}
    found = studies.recommended_labels(pairs, scores)
    heads["recommended"] = studies.recommended_rewards(pairs, found.every, found.fold)
    of_all = studies.reward_margins(every, {ALL: None})
    heads[ALL] = of_all[f"trained on {ALL}"]
    longer = "longer response"
    rows, gains = [], []
    for teacher in (name for name in there if name != ADAPTER):
        of = every if teacher == ALL else pairs
        length = of_all[longer] if teacher == ALL else heads[longer]
        margins = {f"{config}, {teacher}": np.load(kept[teacher])}
        margins |= {f"encoder, {teacher}": heads[teacher], longer: length}
        measured = ~np.isnan(margins[f"{config}, {teacher}"])
        of = of.filter(pl.Series(measured))
        margins = {name: values[measured] for name, values in margins.items()}
        rows.append(studies.accuracy_table(of, margins).select("name", "value", "low", "high", "n"))
        own = f"{config}, {teacher}"
        for floor in list(margins)[1:]:
            both = {name: margins[name] for name in (own, floor)}
            gains.append(studies.paired_gains(of, both, floor))
    if rows:
        print(pl.concat(rows))
        print(pl.concat(gains).select("name", "against", "value", "low", "high", "p_value"))
    if ADAPTER not in there:
        return
    chosen = rk.select(scores, K)
    for name, p in (
        (config, np.load(kept[ADAPTER])),
        ("encoder", rk.training.cross_fit_adapter(pairs, chosen)),
    ):
        figures, labels = studies.adapter_report(pairs, scores, p, K)
        print(name, {key: value for key, value in figures.items() if "recall" in key})
        print(labels.select("name", "value", "low", "high", "n"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("labels", "train", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", default="smollm2", help="presets CONFIG-reward, CONFIG-adapter")
    parser.add_argument("--only", action="append", choices=TEACHERS, help="may be given again")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("SETTING", "VALUE"))
    given = parser.parse_args()
    pl.Config.set_tbl_rows(30).set_tbl_width_chars(160).set_fmt_str_lengths(60)
    settings = {name: yaml.safe_load(value) for name, value in given.p}
    if given.what == "labels":
        write_labels(given.folder)
    elif given.what == "table":
        table(given.folder, given.config, settings)
    else:
        wanted = given.only or TEACHERS
        if "recommended" in wanted and not (given.folder / LABELS).is_file():
            parser.error(f"{given.folder / LABELS} is not there; allowed: `labels` first")
        given.folder.mkdir(parents=True, exist_ok=True)
        for teacher in wanted:
            train(teacher, given.folder, given.config, settings)


if __name__ == "__main__":
    main()
