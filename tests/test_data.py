"""The embedded rules and corpus, and the real data sets, are what their cards say."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.files import resource, sha256
from rulekit.inputs.downloads import vote_table, xstest_pairs


@pytest.fixture(scope="module")
def rules():
    return rk.RuleSet.load(resource("data/rules.yaml"))


def test_one_hundred_absolute_rules_in_twelve_categories_without_near_duplicates(rules):
    assert (len(rules), len(set(rules.categories))) == (100, 12)
    assert rules.superlatives() == {}
    assert rk.studies.near_duplicates(rules, 0.85) == []


def test_superlatives_and_near_duplicates_are_found():
    found = rk.RuleSet.from_texts(["It is the best answer.", "It helps.", "It is at least honest."])
    assert found.superlatives() == {"r000": "best"}
    twins = ["The response is polite to the user.", "The response is polite towards the user."]
    assert len(rk.studies.near_duplicates(rk.RuleSet.from_texts(twins))) == 1


def test_rules_survive_the_disk_and_their_hash_follows_the_texts(rules, tmp_path):
    back = rk.RuleSet.load(rules.write(tmp_path / "r.yaml"))
    assert back == rules
    assert back.hash == rules.hash
    assert rk.RuleSet.from_texts(["a", "b"]).hash != rk.RuleSet.from_texts(["a", "c"]).hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: 3", "a list of rules"),
        ("- {id: a}", "rule 1"),
        ("- {id: a, text: x, colour: red}", "rule 1"),
        ("- {id: a, text: x}\n- {id: a, text: y}", "its id is already that of rule 1"),
        ("- {id: a, text: x}\n- {id: b, text: ' X'}", "its text is already that of rule 1"),
        ("- {id: a, text: x, weight: heavy}", "weight is 'heavy'"),
        ("[", "not readable as YAML"),
    ],
)
def test_a_bad_rule_file_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"r\.yaml") as error:
        rk.RuleSet.load(path)
    assert message in str(error.value)


def test_embedded_corpus_has_four_annotated_responses_to_each_of_120_prompts_or_more():
    pairs = rk.sources.load("embedded")
    prompts = pairs["prompt_id"].n_unique()
    assert prompts >= 120
    assert len(pairs) == 6 * prompts
    assert set(pairs["split"]) == {"train", "validation", "test"}
    assert 0.4 < (pairs["preference"] == 1).mean() < 0.6  # the side tells nothing
    _, scores = rk.sources.load_ratings("embedded")
    assert (np.abs(scores.a).sum(axis=1) + np.abs(scores.b).sum(axis=1) > 0).all()


def test_unknown_sources_judges_and_missing_files_are_named(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'x'; allowed: embedded"):
        rk.sources.load("x")
    with pytest.raises(
        ValueError, match="unknown judge 'x'; allowed: encoder, local, recorded, server"
    ):
        rk.judges.get("x")
    monkeypatch.setenv("RULEKIT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no xstest/pairs\.jsonl\.gz in it"):
        rk.sources.load("xstest")


def test_content_with_another_hash_is_refused(monkeypatch, tmp_path):
    (tmp_path / "hh-rule-votes").mkdir()
    (tmp_path / "hh-rule-votes" / "rules.csv").write_text("rule,text\n0,Other.\n")
    monkeypatch.setenv("RULEKIT_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="its content has sha256"):
        rk.sources.load_ratings("hh-rule-votes")


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*rows skipped")
def test_real_votes_reproduce_the_reference_figures(real_data):
    """Agreement with the human choice: sum of all .602, largest five .601 (see the data's card)."""
    pairs = rk.sources.load("hh-rule-votes")
    rules, scores = rk.sources.load_ratings("hh-rule-votes")
    assert (len(pairs), len(rules)) == (1160, 21)  # two of the 1,162 hold an empty response
    for method, expected in (("all", 0.602), ("max_discrepancy", 0.601)):
        margin = rk.label(scores, rk.select(scores, 5, method)).margin
        found = rk.measures.pairwise_accuracy(margin, pairs["preference"])
        assert found.value == pytest.approx(expected, abs=0.005)


@pytest.mark.real_data
def test_download_conversions_reproduce_the_pinned_content(real_data):
    """The public files are turned into the kit's form; going back and forth changes no byte."""
    pairs = rk.sources.load("xstest")
    models = ("gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct")
    rows = {m: {} for m in models}
    for row in pairs.iter_rows(named=True):
        unsafe = row["type"].startswith("contrast")
        for side, text in (("chosen_model", "response_a"), ("rejected_model", "response_b")):
            complies = (side == "chosen_model") != unsafe
            label = "1_full_compliance" if complies else "2_full_refusal"
            rows[row[side]][row["id"]] = row[text], label
    heads = {r["id"]: (r["type"], r["prompt"]) for r in pairs.iter_rows(named=True)}
    names = ("id", "type", "prompt", "completion", "final_label")
    frames = {
        m: pl.DataFrame(
            [(i, *heads[i], *rows[m].get(i, ("", "3_partial_refusal"))) for i in heads],
            schema=names,
            orient="row",
        )
        for m in models
    }
    lines = sorted(xstest_pairs(frames).encode().splitlines(keepends=True))
    from rulekit.inputs.downloads import VOTE_TABLE, XSTEST_PAIRS
    from rulekit.inputs.sources import _votes

    assert sha256(b"".join(lines)) == XSTEST_PAIRS.sha256
    import gzip
    import json

    with gzip.open(real_data / "hh-rlhf/harmless-base-test.jsonl.gz", "rt") as file:
        dialogues = [json.loads(line)["chosen"] for line in file]
    public = {
        "rule": "principle_id",
        "p_chosen": "prob_A",
        "p_rejected": "prob_B",
        "p_neither": "prob_NA",
    }
    assert sha256(vote_table(_votes().rename(public), dialogues)) == VOTE_TABLE.sha256


def test_import_loads_neither_torch_nor_transformers_nor_altair():
    code = (
        "import sys, rulekit; heavy = {'torch', 'transformers', 'altair', 'numba', 'polars'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
