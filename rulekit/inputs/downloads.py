"""The files of public data sets: a local folder, or a download brought into the same form.

A file's description comes in, its path goes out, its content checked against the SHA-256 written
here. `rulekit.inputs.sources` reads it.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import polars as pl

from rulekit.files import cache_folder, sha256, write_atomically

_HH = "https://raw.githubusercontent.com/anthropics/hh-rlhf/master/harmless-base/test.jsonl.gz"
_VOTES = "https://raw.githubusercontent.com/maartenbuyl/alignment-discretion/main/"
_XSTEST = (
    "https://raw.githubusercontent.com/paul-rottger/exaggerated-safety/"
    "a3bb396ddc1939c6f264f17b7cf5b7a5d82833de/model_completions/xstest_v2_completions_"
)
_RBR = (
    "https://raw.githubusercontent.com/openai/safety-rbr-code-and-data/"
    "7f489fa6b38d72468235f275c23bf3f0c849e5ca/data/rbr_gold_data/train.jsonl"
)
JUDGES = {"gpt-4o": "4ob", "deepseek-v3": "deepseekv3", "claude-3.5-sonnet": "sonnet3.5"}
_VOTES_PARITY = 0  # of the hash of the first human turn
_XSTEST_MODELS = ("gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct")


@dataclass(frozen=True)
class _File:
    """A file of a source: its place under RULEKIT_DATA, its content's SHA-256, how to fetch it."""

    path: str
    sha256: str  # of the uncompressed content
    fetch: Callable[[], bytes]
    home: str
    unordered: bool = False  # the hash is of the sorted lines


def obtain(file: _File) -> Path:
    """Path of a file whose content has the pinned SHA-256."""
    if folder := os.environ.get("RULEKIT_DATA"):
        path = Path(folder).expanduser() / file.path
        if not path.is_file():
            raise FileNotFoundError(
                f"RULEKIT_DATA is {folder!r}, and there is no {file.path} in it"
            )
        return _verified(path, file)
    path = cache_folder("sources") / file.path
    if not path.is_file():
        try:
            content = file.fetch()
        except OSError as error:
            raise FileNotFoundError(
                f"{file.path} could not be downloaded from {file.home} ({error}); where there is no "
                "network, set RULEKIT_DATA to a folder that holds it"
            ) from error
        packed = gzip.compress(content, mtime=0) if path.suffix == ".gz" else content
        write_atomically(path, lambda p: p.write_bytes(packed))
    return _verified(path, file)


def _verified(path: Path, file: _File) -> Path:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if file.unordered:
        content = b"".join(sorted(content.splitlines(keepends=True)))
    if (found := sha256(content)) != file.sha256:
        raise ValueError(f"{path}: its content has sha256 {found}; allowed: {file.sha256}")
    return path


def _download(url: str) -> bytes:
    import pooch

    name = sha256(url)[:16]
    path = pooch.retrieve(url, known_hash=None, fname=name, path=cache_folder("downloads"))
    return Path(path).read_bytes()


def xstest_pairs(completions: dict[str, pl.DataFrame]) -> str:
    """XSTest completions of several models as preference pairs, one JSON object a line.

    On a safe prompt full compliance is preferred to full refusal, on an unsafe one (a type that
    begins with 'contrast') full refusal to full compliance.

    Parameters
    ----------
    completions
        Model → frame with columns id, type, prompt, completion, final_label.
    """
    by_prompt: dict[str, dict[str, dict]] = {}
    for model, frame in completions.items():
        for row in frame.iter_rows(named=True):
            by_prompt.setdefault(row["id"], {})[model] = row
    lines = []
    for answers in by_prompt.values():
        row = next(iter(answers.values()))
        unsafe = row["type"].startswith("contrast")
        labels = ["1_full_compliance", "2_full_refusal"]
        good, bad = reversed(labels) if unsafe else labels
        sides = [[m for m, r in answers.items() if r["final_label"] == x] for x in (bad, good)]
        for rejected, chosen in product(*sides):
            pair = {
                "id": row["id"],
                "type": row["type"],
                "prompt": row["prompt"],
                "chosen": answers[chosen]["completion"],
                "rejected": answers[rejected]["completion"],
                "chosen_model": chosen,
                "rejected_model": rejected,
                "subset": f"xstest-should-{'refuse' if unsafe else 'respond'}",
            }
            lines.append(json.dumps(pair) + "\n")
    return "".join(lines)


def vote_table(table: pl.DataFrame, dialogues: list[str]) -> str:
    """The authors' table of votes in the kit's form: CSV text of one row a pair and rule.

    Keeps the pairs whose first human turn has an even or odd hash, as the pinned file does, and
    six significant digits.

    Parameters
    ----------
    table
        Columns row_id, principle_id, prob_A, prob_B, prob_NA; A is the chosen response.
    dialogues
        The chosen dialogue of every row of harmless-base-test, in order.
    """

    rows = _kept_rows(dialogues)
    table = table.filter(pl.col("row_id").is_in(rows)).sort("row_id", "principle_id")
    columns = ("row_id", "principle_id", "prob_A", "prob_B", "prob_NA")
    lines = [
        f"{i},{j},{a:.6g},{b:.6g},{n:.6g}\r\n" for i, j, a, b, n in table.select(columns).rows()
    ]
    return "row_id,rule,p_chosen,p_rejected,p_neither\r\n" + "".join(lines)


def judge_vote_table(tables: dict[str, pl.DataFrame], dialogues: list[str]) -> str:
    """The authors' tables of generic votes in the kit's form, one row a judge, pair and order.

    Parameters
    ----------
    tables
        Judge → columns row_id, order, prob_A, prob_B, prob_NA; A is the response shown first: the
        chosen one in order 0, the rejected one in order 1.
    dialogues
        As for `vote_table`.
    """
    rows, lines = _kept_rows(dialogues), []
    for judge, table in tables.items():
        table = table.filter(pl.col("row_id").is_in(rows)).sort("row_id", "order")
        for i, order, a, b, n in table.select(
            "row_id", "order", "prob_A", "prob_B", "prob_NA"
        ).rows():
            chosen, rejected = (a, b) if order == 0 else (b, a)
            lines.append(f"{i},{judge},{order},{chosen:.6g},{rejected:.6g},{n:.6g}\r\n")
    return "row_id,judge,order,p_chosen,p_rejected,p_neither\r\n" + "".join(lines)


def _kept_rows(dialogues: list[str]) -> list[int]:
    """Rows of harmless-base-test whose first human turn has a hash of the pinned parity."""

    def kept(dialogue: str) -> bool:
        first = dialogue.split("\n\nHuman:", 1)[1].split("\n\nAssistant:", 1)[0]
        return int(sha256(first.strip().lower()), 16) % 2 == _VOTES_PARITY

    return [i for i, dialogue in enumerate(dialogues) if kept(dialogue)]


def _fetch_xstest() -> bytes:
    frames = {
        model: pl.read_csv(io.BytesIO(_download(f"{_XSTEST}{model}.csv")), infer_schema=False)
        for model in _XSTEST_MODELS
    }
    return xstest_pairs(frames).encode()


def _fetch_votes() -> bytes:
    url = f"{_VOTES}principle_specific_preferences/hh_test_seed_4ob.csv"
    return vote_table(pl.read_csv(io.BytesIO(_download(url))), _chosen_dialogues()).encode()


def _fetch_judge_votes() -> bytes:
    tables = {
        judge: pl.read_csv(
            io.BytesIO(_download(f"{_VOTES}llm_preferences/hh_test_generic_{n}.csv"))
        )
        for judge, n in JUDGES.items()
    }
    return judge_vote_table(tables, _chosen_dialogues()).encode()


def _chosen_dialogues() -> list[str]:
    with gzip.open(obtain(HH_PAIRS), "rt", encoding="utf-8") as file:
        return [json.loads(line)["chosen"] for line in file]


def _fetch_vote_rules() -> bytes:
    lines = _download(f"{_VOTES}principles/ccai_seed.txt").decode().splitlines()
    table = pl.DataFrame({"rule": range(len(lines)), "text": [t.strip() for t in lines]})
    return table.write_csv(line_terminator="\r\n").encode()


HH_PAIRS = _File(
    "hh-rlhf/harmless-base-test.jsonl.gz",
    "14d765196c9f18d84f9bb3a78bac608c8f2915110ebcbd74ec95db7b7198b008",
    lambda: gzip.decompress(_download(_HH)),
    _HH,
)
XSTEST_PAIRS = _File(
    "xstest/pairs.jsonl.gz",
    "017d51380f3cb1883c42e19edac81ecd48d7f885b0abef1cd884a7c80f68ea77",
    _fetch_xstest,
    _XSTEST,
    unordered=True,
)
RBR_GOLD = _File(
    "openai-rbr/rbr-gold-train.jsonl",
    "fa09c23e6cc9e612d2f8341b65cb1fccf752c325ece693fed6b702f7a8188690",
    lambda: _download(_RBR),
    _RBR,
)
VOTE_TABLE = _File(
    "hh-rule-votes/votes.csv.gz",
    "33f6a2043db1179079604afe048a6447846a2910508581930eb8a77883953a9f",
    _fetch_votes,
    _VOTES,
)
VOTE_RULES = _File(
    "hh-rule-votes/rules.csv",
    "5afb3c98fc18e8ae0a1a94707e06447f3159efd53fee891515e65b472aa5d900",
    _fetch_vote_rules,
    _VOTES,
)
JUDGE_VOTES = _File(
    "hh-judge-votes/votes.csv.gz",
    "9881466c6b173f3e53fb9d5b940641129f933535a4695521ca6682019a5312de",
    _fetch_judge_votes,
    _VOTES,
)
