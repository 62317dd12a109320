"""Questions to a person: which is next, what a key writes, and what several people agree on."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import add_preferences, read_answers
from rulekit.measures import cohen_kappa, krippendorff_alpha
from rulekit.rating import Asking
from rulekit.selection import ask_order


@pytest.fixture(scope="module")
def rated():
    pairs, rules = rk.load_pairs("embedded").head(60), rk.RuleSet.load("embedded")
    return pairs, rules, rk.sources.load_ratings("embedded")[1].of(pairs)


def better(asking: Asking, pair: dict) -> str:
    """The key that says what the pair's known preference says."""
    first = pair["preference"] == 1
    return "a" if first == (asking.question.shown == "ab") else "b"


def test_keys_say_which_response_is_better_whichever_stands_first(rated, tmp_path):
    pairs, _, scores = rated
    asking = Asking(pairs, scores, path=tmp_path / "l.jsonl", person="ann")
    shown = set()
    for _ in range(12):
        asked = asking.question
        pair = pairs.row(asked.row, named=True)
        sides = (pair["response_a"], pair["response_b"])
        _, first, second = asking.texts()
        assert (first, second) == (sides if asked.shown == "ab" else sides[::-1])
        asking.answer(better(asking, pair))
        shown.add(asked.shown)
    assert shown == {"ab", "ba"}
    found = add_preferences(pairs, tmp_path / "l.jsonl")
    answered = found.filter(pl.col("preference").is_not_null())
    known = pairs.filter(pl.col("pair_id").is_in(answered["pair_id"].implode()))
    assert len(known) == 12
    assert answered["preference"].to_list() == known["preference"].to_list()
    assert np.isnan(asking.preference).sum() == 48


def test_ties_skips_and_undo_and_the_question_that_comes_back(rated, tmp_path):
    pairs, _, scores = rated
    asking = Asking(pairs, scores, path=tmp_path / "l.jsonl", person="ann")
    first = asking.question
    assert asking.answer("x").endswith("tie, or cannot tell")
    second = asking.question
    assert second.pair_id != first.pair_id
    asking.answer("s")
    assert asking.own["preference"].to_list() == [0, None]
    asking.answer("u")
    assert asking.question == second
    asking.answer("u")
    assert asking.question == first
    with pytest.raises(ValueError, match="nothing to take back"):
        asking.answer("u")
    with pytest.raises(ValueError, match=r"allowed: a \(A is better\)"):
        asking.answer("y")


def test_who_begins_again_is_asked_what_they_were_asked(rated, tmp_path):
    pairs, _, scores = rated
    how = {"path": tmp_path / "l.jsonl", "person": "ann"}
    asking = Asking(pairs, scores, **how)
    for key in "abs":
        asking.answer(key)
    again = Asking(pairs, scores, **how)
    assert again.question == asking.question
    assert again.own.equals(asking.own)


def test_the_pair_that_teaches_most_is_asked_first_and_known_preferences_tell_nothing(
    rated, tmp_path
):
    pairs, _, scores = rated
    asked = Asking(pairs, scores, path=tmp_path / "l.jsonl", person="ann").question.row
    gain = [int(ask_order(scores, n=1, seed=seed)[0]) for seed in range(20)]
    assert asked in gain  # of 60 pairs the same few, whatever the draws
    assert len(set(gain)) < 10
    blind = pairs.with_columns(preference=-pl.col("preference"))
    other = Asking(blind, scores, path=tmp_path / "l.jsonl", person="ann").question.row
    assert other == asked


def test_without_scores_any_pair_is_asked_until_none_is_left(rated, tmp_path):
    pairs = rated[0].head(5)
    asking = Asking(pairs, path=tmp_path / "l.jsonl", person="ann")
    asked = set()
    while asking.question is not None:
        asked.add(asking.question.pair_id)
        asking.answer("a")
    assert asked == set(pairs["pair_id"])
    assert asking.texts() is None
    assert asking.progress() is None
    with pytest.raises(ValueError, match="allowed: u"):
        asking.answer("a")


def test_each_fifth_question_is_one_that_others_answered_and_agreement_is_that_of_measures(
    rated, tmp_path
):
    pairs, _, scores = rated
    path = tmp_path / "l.jsonl"
    rng = np.random.default_rng(0)
    people = [Asking(pairs, scores, path=path, person=name) for name in ("ann", "bob")]
    assert people[0].agreement().is_empty()
    for asking in people:
        for _ in range(25):
            key = better(asking, pairs.row(asking.question.row, named=True))
            asking.answer(key if rng.random() < 0.8 else "x")
    wide = read_answers(path).pivot("person", index="pair_id", values="preference").drop_nulls()
    assert len(wide) == 5
    found = people[0].agreement()
    ann, bob = wide["ann"].to_numpy(), wide["bob"].to_numpy()
    assert found["measure"].to_list() == ["κ", "α"]
    assert found["n"].to_list() == [5, 5]
    assert found["value"][0] == pytest.approx(cohen_kappa(ann, bob))
    alpha = krippendorff_alpha(np.stack([ann, bob], axis=1), "nominal")
    assert found["value"][1] == pytest.approx(alpha)
    assert found["low"][1] <= alpha <= found["high"][1]


def test_after_each_label_it_is_said_what_labels_bring(rated, tmp_path):
    pairs, _, scores = rated
    asking = Asking(pairs, scores, path=tmp_path / "l.jsonl", person="ann")
    for n in range(3):
        assert asking.progress().n_labelled == n
        asking.answer("a")


def test_answers_may_all_be_of_one_side(rated, tmp_path):
    pairs, _, scores = rated
    asking = Asking(pairs, scores, path=tmp_path / "l.jsonl", person="ann")
    for _ in range(20):
        asking.answer("a" if asking.question.shown == "ab" else "b")
    assert asking.progress().n_labelled == 20


def test_ratings_are_checked_what_the_scores_lean_on_first(rated, tmp_path):
    pairs, rules, scores = rated
    path = tmp_path / "l.jsonl"
    asking = Asking(pairs, scores, path=path, person="ann", rules=rules, check=True)
    asked = []
    for key in "ynis":
        question = asking.question
        own = scores.a if question.response == "a" else scores.b
        both = np.abs(np.concatenate([scores.a[question.row], scores.b[question.row]]))
        assert abs(own[question.row, question.rule]) == both.max()
        asked.append(question)
        asking.answer(key)
    found = read_answers(path)
    assert found["verdict"].to_list() == ["yes", "no", "irrelevant", None]
    assert found["rule_id"].to_list() == [rules[q.rule].id for q in asked]
    asking.answer("u")
    assert asking.question == asked[-1]
    labels = Asking(pairs, scores, path=path, person="ann")
    assert labels.own.is_empty()  # another kind of question, in the same file


@pytest.mark.parametrize(
    ("how", "said"),
    [({"person": " "}, "allowed: a name"), ({"person": "ann", "check": True}, "needs rules")],
)
def test_what_is_wrong_is_said(rated, how, said):
    with pytest.raises(ValueError, match=said):
        Asking(rated[0], **how)
