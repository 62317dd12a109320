"""The embedded corpus is what its card says: counts, coverage, schema, lengths, splits, agreement."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import cohen_kappa_score

import rulekit as rk
from rulekit.encoder import Encoder
from rulekit.files import resource
from rulekit.inputs.pairs import prompt_text

CATEGORIES = {
    "violence",
    "crime",
    "cyber",
    "self_harm",
    "health",
    "legal_finance",
    "privacy",
    "fairness",
    "respect",
    "child_safety",
    "honesty",
    "helpfulness",
}
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
        assert list(row) == [
            "prompt_id",
            "category",
            "kind",
            "severity",
            "split",
            "prompt",
            "ranking",
            "responses",
        ]
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


def test_every_rule_is_annotated_on_six_responses_or_more_and_occurs_in_training(corpus, rules):
    satisfied, violated, trained = Counter(), Counter(), set()
    for row in corpus:
        for response in row["responses"]:
            satisfied.update(response["satisfies"])
            violated.update(response["violates"])
            if row["split"] == "train":
                trained.update(response["satisfies"] + response["violates"])
    assert min(satisfied[i] + violated[i] for i in rules.ids) >= 6
    assert min(satisfied[i] for i in rules.ids) >= 2
    assert trained == set(rules.ids)
    # A violation of these would be a recipe, which no text may hold.
    never = {"no-weapon-instructions", "no-phishing-text", "no-self-harm-method"}
    assert {i for i in rules.ids if not violated[i]} == never


def longer_is_better(corpus, chosen=lambda row, places: True):
    """Whether the longer of two responses is ranked higher, of all pairs of places that count."""
    found = []
    for row in corpus:
        size = {r["id"]: words(r["text"]) for r in row["responses"]}
        for i, j in combinations(range(4), 2):
            x, y = size[row["ranking"][i]], size[row["ranking"][j]]
            if x != y and chosen(row, (i, j)):
                found.append(x > y)
    return np.mean(found)


def test_the_longer_response_is_better_in_half_of_the_pairs_of_every_two_places_and_kind(corpus):
    assert 0.45 <= longer_is_better(corpus) <= 0.55
    for places in combinations(range(4), 2):
        share = longer_is_better(corpus, lambda row, p, want=places: p == want)
        assert 0.4 <= share <= 0.6, places
    for kind in ("unsafe", "over_refusal", "benign"):
        assert 0.4 <= longer_is_better(corpus, lambda row, p, want=kind: row["kind"] == want) <= 0.6


def test_every_place_in_the_ranking_holds_responses_of_every_length(corpus):
    for place in range(4):
        sizes = np.array(
            [
                words(next(r["text"] for r in row["responses"] if r["id"] == row["ranking"][place]))
                for row in corpus
            ]
        )
        assert np.quantile(sizes, 0.2) <= 40
        assert np.quantile(sizes, 0.8) >= 85


def test_no_text_names_anybody_or_anything_that_has_not_been_looked_at(corpus):
    """Capitalised words inside sentences are generic, of public knowledge, or invented."""
    known = set((Path(__file__).parent / "corpus_names.txt").read_text(encoding="utf-8").split())
    inside = re.compile(
        r"(?<![.!?:…\"”'’\n]\s)(?<!^)(?<![\"“‘(\n])\b[A-Z][\w’'-]+"  # not after a full stop or quote
    )
    for row in corpus:
        for text in [
            prompt_text(row["prompt"]).replace("Assistant: ", "").replace("User: ", ""),
            *(r["text"] for r in row["responses"]),
        ]:
            assert not set(inside.findall(text)) - known, row["prompt_id"]
            assert not re.search(r"\+?\d[\d \-/]{6,}\d", text), row[
                "prompt_id"
            ]  # telephone numbers
            assert not re.search(r"\w@\w|https?:|www\.", text), row["prompt_id"]


def test_the_ranking_is_not_a_sum_of_the_annotated_rules():
    pairs = rk.sources.load("embedded")
    _, scores = rk.sources.load_ratings("embedded")
    margin = rk.label(scores, rk.select(scores, method="all")).margin
    agreement = rk.measures.pairwise_accuracy(margin, pairs["preference"]).value
    assert 0.7 < agreement < 0.95


def test_split_is_by_prompt_and_even_over_categories(corpus):
    assert Counter(row["split"] for row in corpus) == SPLITS
    share = Counter((row["category"], row["split"]) for row in corpus)
    assert all(share[c, s] == n // 12 for c in CATEGORIES for s, n in SPLITS.items())
    assert (
        rk.sources.load("embedded")
        .group_by("prompt_id")
        .agg(pl.col("split").n_unique())["split"]
        .max()
        == 1
    )


def test_no_near_duplicate_prompts_nor_responses_across_splits(corpus):
    prompts = [prompt_text(row["prompt"]) for row in corpus]
    assert similarity(prompts).max() < 0.7
    texts = [r["text"] for row in corpus for r in row["responses"]]
    assert len(set(texts)) == len(texts)
    split = np.repeat([row["split"] for row in corpus], 4)
    long = np.array([words(t) >= 8 for t in texts])
    across = (split[:, None] != split) & long[:, None] & long
    close = similarity(texts)
    assert close[across].max() < 0.85
    same = np.repeat(np.arange(len(corpus)), 4)
    assert close[same[:, None] == same].max() < 0.97  # nor one response twice to a prompt


def test_second_reading_covers_a_quarter_of_the_responses_in_every_category(corpus):
    names, first, second, _ = rk.sources.second_reading()
    assert len(names) >= 0.25 * 4 * len(corpus)
    category = {row["prompt_id"]: row["category"] for row in corpus}
    assert {category[n.rsplit(":", 1)[0]] for n in names} == CATEGORIES
    assert not np.array_equal(first, second)


def test_agreement_of_the_two_readers_is_that_of_scikit_learn_and_of_the_card():
    _, first, second, _ = rk.sources.second_reading()
    table = rk.studies.reader_agreement(resamples=20)
    overall = dict(zip(table["category"], table["kappa"], strict=True))["all"]
    assert overall == pytest.approx(cohen_kappa_score(first.ravel(), second.ravel()), abs=1e-12)
    assert table["kappa"].min() > 0.6
    card = resource("data/README.md").read_text(encoding="utf-8")
    for name, kappa in zip(table["category"], table["kappa"], strict=True):
        assert f"| {name} | {kappa:.2f} |" in card


def test_agreement_of_the_two_rankings_is_that_of_scipy_and_of_the_card():
    found = rk.studies.ranking_agreement()
    taus = [
        kendalltau([a.index(r) for r in "abcd"], [b.index(r) for r in "abcd"]).statistic
        for a, b in rk.sources.second_rankings()
    ]
    assert found["tau"] == pytest.approx(np.mean(taus))
    assert found["n_prompts"] == len(taus) >= 36
    assert found["low"] > 0.6
    card = resource("data/README.md").read_text(encoding="utf-8")
    assert f"{100 * found['same_order']:.0f} % of pairs" in card
    assert f"Kendall's τ {found['tau']:.2f} [{found['low']:.2f}, {found['high']:.2f}]" in card


def test_the_card_states_the_counts_of_the_corpus(corpus):
    card = " ".join(resource("data/README.md").read_text(encoding="utf-8").split())
    kinds = Counter(row["kind"] for row in corpus)
    severity = Counter(row["severity"] for row in corpus)
    marks = [(len(r["satisfies"]), len(r["violates"])) for row in corpus for r in row["responses"]]
    sizes = [words(r["text"]) for row in corpus for r in row["responses"]]
    prompts = [words(prompt_text(row["prompt"])) for row in corpus]
    rules = Counter(
        i for row in corpus for r in row["responses"] for i in r["satisfies"] + r["violates"]
    )
    pairs = rk.sources.load("embedded")
    _, scores = rk.sources.load_ratings("embedded")
    margin = rk.label(scores, rk.select(scores, method="all")).margin
    agreement = rk.measures.pairwise_accuracy(margin, pairs["preference"]).value
    for statement in (
        f"{kinds['unsafe']} prompts are unsafe ({severity['minor']} minor, {severity['moderate']} "
        f"moderate, {severity['severe']} severe), {kinds['over_refusal']} over-refusal, "
        f"{kinds['benign']} benign",
        f"{sum(isinstance(row['prompt'], list) for row in corpus)} have several turns, "
        f"{sum(n > 100 for n in prompts)} more than 100 words (median {np.median(prompts):.0f})",
        f"{min(sizes)} to {max(sizes)} words, median {np.median(sizes):.0f}",
        f"better one in {100 * longer_is_better(corpus):.0f} %",
        f"{sum(s for s, _ in marks):,} rules are satisfied and {sum(v for _, v in marks):,} violated",
        f"on {min(rules.values())} responses or more",
        f"agrees with the ranking in {100 * agreement:.0f} %",
    ):
        assert statement in card
