"""Splits and folds of pairs by their prompt."""

import polars as pl

import rulekit as rk
from rulekit.inputs.pairs import check_pairs, folds, prompt_groups
from tests.inputs.test_readers import GOOD


def test_splits_and_folds_keep_prompts_together_and_do_not_move_when_data_grows():
    rows = [
        {"pair_id": f"{i}-{j}", **GOOD, "prompt": f"Prompt {i}" + " " * j}
        for i in range(300)
        for j in range(2)
    ]
    pairs = check_pairs(pl.DataFrame(rows))
    split = rk.split_pairs(pairs).with_columns(prompt_groups(pairs))
    assert split.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    assert split["split"].value_counts().filter(pl.col("split") == "train")["count"][0] in range(
        310, 411
    )
    assert rk.split_pairs(pairs[:100])["split"].equals(split["split"][:100])
    by_fold = split.with_columns(fold=pl.Series(folds(pairs, 5)))
    assert by_fold.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert by_fold["fold"].value_counts()["count"].to_list() == [120] * 5


def test_a_prompt_keeps_its_split_whatever_pairs_come_in_and_in_which_order():
    rows = [{"pair_id": f"{i}", **GOOD, "prompt": f"Prompt {i}"} for i in range(200)]
    some, more = check_pairs(pl.DataFrame(rows[80:120])), check_pairs(pl.DataFrame(rows[::-1]))
    before = dict(rk.split_pairs(some).select("prompt", "split").iter_rows())
    after = dict(rk.split_pairs(more).select("prompt", "split").iter_rows())
    assert len(set(before.values())) == 3
    assert before.items() <= after.items()


def test_stages_of_a_dialogue_and_other_spellings_of_a_prompt_are_never_split_apart():
    def turns(*texts):
        roles = ("user", "assistant") * 3
        return [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]

    prompts = [p for i in range(60) for p in (turns(f"Q {i}"), turns(f"q  {i}", "a", "b"))]
    rows = [{"pair_id": str(i), **GOOD, "prompt": p} for i, p in enumerate(prompts)]
    pairs = check_pairs(pl.DataFrame(rows))
    assert prompt_groups(pairs).to_list()[::2] == prompt_groups(pairs).to_list()[1::2]
    for part in (
        rk.split_pairs(pairs)["split"].to_list(),
        folds(pairs, 4),
        folds(pairs, 4, seed=1),
    ):
        assert len(set(part)) >= 3
        assert part[::2] == part[1::2]
