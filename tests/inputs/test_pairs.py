"""Splits and folds of pairs by their prompt."""

import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs.pairs import check_pairs, folds, prompt_groups
from tests.inputs.test_readers import GOOD


def numbered(prompts) -> pl.DataFrame:
    rows = [{"pair_id": str(i), **GOOD, "prompt": p} for i, p in enumerate(prompts)]
    return check_pairs(pl.DataFrame(rows))


def test_splits_and_folds_keep_prompts_together_and_do_not_move_when_data_grows():
    pairs = numbered(f"Prompt {i}" + " " * j for i in range(300) for j in range(2))
    train, test = rk.split_pairs(pairs)
    assert len(train) + len(test) == 600
    assert len(test) in range(80, 161)
    assert not set(prompt_groups(train)) & set(prompt_groups(test))
    few_train, few_test = rk.split_pairs(pairs[:100])
    assert set(few_train["pair_id"]) <= set(train["pair_id"])
    assert set(few_test["pair_id"]) <= set(test["pair_id"])
    by_fold = pairs.with_columns(prompt_groups(pairs), fold=pl.Series(folds(pairs, 5)))
    assert by_fold.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert by_fold["fold"].value_counts()["count"].to_list() == [120] * 5


def test_a_prompt_keeps_its_side_whatever_pairs_come_in_and_in_which_order():
    pairs = numbered(f"Prompt {i}" for i in range(200))
    some, more = (rk.split_pairs(p, 0.4) for p in (pairs[80:120], pairs[::-1]))
    for few, many in zip(some, more, strict=True):
        assert 5 < len(few) < 35
        assert set(few["pair_id"]) <= set(many["pair_id"])
    another = rk.split_pairs(pairs, 0.4, seed=1)[1]
    assert set(another["pair_id"]) != set(more[1]["pair_id"])


def test_the_order_of_the_frame_is_kept_on_both_sides():
    pairs = numbered(f"Prompt {i}" for i in range(50))
    for side in rk.split_pairs(pairs, 0.5):
        assert side["pair_id"].cast(int).is_sorted()


@pytest.mark.parametrize("share", [0, 1, 1.2, -0.1])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"allowed: above 0, below 1"):
        rk.split_pairs(numbered("ab"), share)


def test_an_empty_side_is_refused_and_splitting_a_part_again_wants_another_seed():
    pairs = numbered(f"Prompt {i}" for i in range(100))
    train, _ = rk.split_pairs(pairs)
    with pytest.raises(ValueError, match=r"no pair is left to test on.*another seed"):
        rk.split_pairs(train)
    assert all(len(side) for side in rk.split_pairs(train, seed=1))
    with pytest.raises(ValueError, match="1 prompts"):
        rk.split_pairs(numbered(["only one"]))


def test_stages_of_a_dialogue_and_other_spellings_of_a_prompt_are_never_split_apart():
    def turns(*texts):
        roles = ("user", "assistant") * 3
        return [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]

    prompts = [p for i in range(60) for p in (turns(f"Q {i}"), turns(f"q  {i}", "a", "b"))]
    pairs = numbered(prompts)
    assert prompt_groups(pairs).to_list()[::2] == prompt_groups(pairs).to_list()[1::2]
    part = folds(pairs, 4)
    assert len(set(part)) >= 3
    assert part[::2] == part[1::2]
    for side in rk.split_pairs(pairs, 0.5):
        groups = prompt_groups(side).to_list()
        assert groups[::2] == groups[1::2]
