"""The embedded corpus is what its card says: counts, coverage, schema, lengths, splits, agreement."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

import rulekit as rk
from rulekit.encoder import Encoder
from rulekit.files import resource
from rulekit.pairs import prompt_text

CATEGORIES = {"violence", "crime", "cyber", "self_harm", "health", "legal_finance", "privacy",
              "fairness", "respect", "child_safety", "honesty", "helpfulness"}  # fmt: skip
SPLITS = {"train": 84, "validation": 24, "test": 36}


@pytest.fixture(scope="module")
def corpus():
    lines = resource("data/pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def rules():
    return rk.RuleSet.load(resource("data/rules.yaml"))


def words(text):
    return len(text.split())


def similarity(texts):
    vectors = Encoder.load().embed(texts)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1)
    return cosine


def test_every_line_has_the_fields_and_values_of_the_card(corpus, rules):
    for row in corpus:
        assert list(row) == ["prompt_id", "category", "kind", "severity", "split", "prompt",
                             "ranking", "responses"]  # fmt: skip
        assert row["category"] in CATEGORIES
        assert row["kind"] in {"unsafe", "over_refusal", "benign"}
        assert (row["severity"] == "none") == (row["kind"] != "unsafe")
        assert [r["id"] for r in row["responses"]] == ["a", "b", "c", "d"]
        assert sorted(row["ranking"]) == ["a", "b", "c", "d"]
        for response in row["responses"]:
            assert list(response) == ["id", "text", "satisfies", "violates"]
            assert response["text"] == response["text"].strip() != ""
            assert set(response["satisfies"] + response["violates"]) <= set(rules.ids)
            assert not set(response["satisfies"]) & set(response["violates"])
    ids = [row["prompt_id"] for row in corpus]
    assert len(set(ids)) == len(ids)


def test_counts_of_prompts_kinds_severities_and_forms(corpus):
    assert len(corpus) == 144
    assert Counter(row["category"] for row in corpus) == dict.fromkeys(CATEGORIES, 12)
    kinds = Counter(row["kind"] for row in corpus)
    assert kinds["over_refusal"] >= 30
    assert kinds["benign"] >= 15
    severities = Counter(row["severity"] for row in corpus)
    assert min(severities[s] for s in ("minor", "moderate", "severe")) >= 15
    assert sum(isinstance(row["prompt"], list) for row in corpus) >= 12
    lengths = [words(prompt_text(row["prompt"])) for row in corpus]
    assert sum(n > 100 for n in lengths) >= 5
    assert sum(n < 20 for n in lengths) >= 15


def test_every_rule_is_annotated_on_six_responses_or_more_both_ways(corpus):
    satisfied, violated = Counter(), Counter()
    for row in corpus:
        for response in row["responses"]:
            satisfied.update(response["satisfies"])
            violated.update(response["violates"])
    rules = rk.RuleSet.load(resource("data/rules.yaml"))
    assert min(satisfied[i] + violated[i] for i in rules.ids) >= 6
    assert min(satisfied[i] for i in rules.ids) >= 2
    assert min(violated[i] for i in rules.ids) >= 2


def test_the_longer_response_is_better_in_about_half_of_the_pairs(corpus):
    longer = []
    for row in corpus:
        size = {r["id"]: len(r["text"]) for r in row["responses"]}
        longer += [size[x] > size[y] for x, y in combinations(row["ranking"], 2)
                   if size[x] != size[y]]  # fmt: skip
    assert 0.45 <= np.mean(longer) <= 0.55


def test_the_ranking_is_not_a_sum_of_the_annotated_rules():
    pairs = rk.sources.load("embedded")
    _, scores = rk.sources.load_ratings("embedded")
    margin = rk.label(scores, rk.select(scores, method="all")).margin
    agreement = rk.evaluate.pairwise_accuracy(margin, pairs["preference"]).value
    assert 0.7 < agreement < 0.95


def test_split_is_by_prompt_and_even_over_categories(corpus):
    assert Counter(row["split"] for row in corpus) == SPLITS
    share = Counter((row["category"], row["split"]) for row in corpus)
    assert all(share[c, s] == n // 12 for c in CATEGORIES for s, n in SPLITS.items())
    assert rk.sources.load("embedded").group_by("prompt_id").agg(
        pl.col("split").n_unique()
    )["split"].max() == 1  # fmt: skip


def test_no_near_duplicate_prompts_nor_responses_across_splits(corpus):
    prompts = [prompt_text(row["prompt"]) for row in corpus]
    assert similarity(prompts).max() < 0.7
    texts = [r["text"] for row in corpus for r in row["responses"]]
    assert len(set(texts)) == len(texts)
    split = np.repeat([row["split"] for row in corpus], 4)
    long = np.array([words(t) >= 8 for t in texts])
    across = (split[:, None] != split) & long[:, None] & long
    assert similarity(texts)[across].max() < 0.85


def test_second_reading_covers_a_quarter_of_the_responses_in_every_category(corpus):
    names, first, second, _ = rk.sources.second_reading()
    assert len(names) >= 0.25 * 4 * len(corpus)
    category = {row["prompt_id"]: row["category"] for row in corpus}
    assert {category[n.rsplit(":", 1)[0]] for n in names} == CATEGORIES
    assert not np.array_equal(first, second)


def test_agreement_of_the_two_readers_is_that_of_scikit_learn_and_of_the_card():
    _, first, second, _ = rk.sources.second_reading()
    table = rk.judging.reader_agreement(resamples=20)
    overall = dict(zip(table["category"], table["kappa"], strict=True))["all"]
    assert overall == pytest.approx(cohen_kappa_score(first.ravel(), second.ravel()), abs=1e-12)
    assert table["kappa"].min() > 0.6
    card = resource("data/README.md").read_text(encoding="utf-8")
    for name, kappa in zip(table["category"], table["kappa"], strict=True):
        assert f"| {name} | {kappa:.2f} |" in card


def test_cohen_kappa_knows_chance_agreement_and_refuses_unequal_lengths():
    assert rk.evaluate.cohen_kappa([1, 0, 1, 0], [1, 0, 1, 0]) == 1
    assert rk.evaluate.cohen_kappa([1, 1, 0, 0], [1, 0, 1, 0]) == 0
    with pytest.raises(ValueError, match="3 and 2 categories"):
        rk.evaluate.cohen_kappa([1, 1, 0], [1, 0])
