"""Named data sets: pinned content, ratings of their pairs, errors that name what is allowed."""

import gzip
import json

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.files import sha256
from rulekit.inputs.downloads import VOTE_TABLE, XSTEST_PAIRS, obtain, vote_table, xstest_pairs


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
        rk.judge("x")
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
    rules, scores = rk.sources.load_ratings("hh-rule-votes", dead_zone=0)
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

    assert sha256(b"".join(lines)) == XSTEST_PAIRS.sha256

    with gzip.open(real_data / "hh-rlhf/harmless-base-test.jsonl.gz", "rt") as file:
        dialogues = [json.loads(line)["chosen"] for line in file]
    public = {
        "rule": "principle_id",
        "p_chosen": "prob_A",
        "p_rejected": "prob_B",
        "p_neither": "prob_NA",
    }
    assert (
        sha256(vote_table(pl.read_csv(obtain(VOTE_TABLE)).rename(public), dialogues))
        == VOTE_TABLE.sha256
    )


@pytest.mark.real_data
def test_rbr_labels_are_read_under_our_rules_and_empty_completions_left_out(real_data):
    data = rk.sources.load_labelled("openai-rbr")
    assert data.scores.shape == (344, 23)
    assert set(np.unique(data.scores)) == {-1, 1}
    assert all(t.strip() for t in data.responses)
    with pytest.raises(ValueError, match="no pairs"):
        rk.sources.load("openai-rbr")
    with pytest.raises(ValueError, match="unknown split 'dev'; allowed: train"):
        rk.sources.load_labelled("embedded", "dev")
