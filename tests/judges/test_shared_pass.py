"""A shared pass over many rules gives what one pass a rule gives, or is not made."""

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, BloomConfig, BloomForCausalLM

from rulekit.judges.local import shared_pass, tree_attention
from rulekit.judges.local.judge import LocalJudge
from tests.judges.local_models import MODELS, PROMPTS, RESPONSES, UNSHARED, build, random_trees

pytestmark = pytest.mark.filterwarnings("ignore:the three answers hold")  # random weights


@pytest.mark.parametrize("attention", shared_pass.WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_shared_pass_gives_the_logits_of_separate_passes(name, attention):
    """Whole trees in one pass, and trees that go on over several passes on a kept prefix."""
    plain = attention == "flex"  # off a GPU it runs uncompiled: fewer suffixes
    model, trees = build(name), random_trees(2, 4) if plain else random_trees()
    alone = [model(torch.tensor([t.prefix + s])).logits[0, -1] for t in trees for s in t.suffixes]
    alone = torch.stack(alone).detach()
    assert alone.std() > 0.1  # the model does tell the sequences apart
    for budget in (100_000, 120):
        parts = list(shared_pass.run(model, trees, budget, lambda x: x, attention))
        shared = torch.cat([logits for _, logits in parts])
        assert (shared - alone).abs().max() <= 1e-4
    padded = shared_pass.run_separately(
        model, [t.prefix + s for t in trees for s in t.suffixes], 500, lambda x: x
    )
    assert (padded - alone).abs().max() <= 1e-4


def test_passes_keep_to_the_budget_and_run_each_prefix_once():
    trees = random_trees(6)
    for budget in (60, 150, 500, 100_000):
        passes = shared_pass.plan_passes(trees, budget)
        seen = [(b.tree, s) for p in passes for b in p for s in range(b.start, b.stop)]
        assert seen == [(t, s) for t, tree in enumerate(trees) for s in range(len(tree.suffixes))]
        assert [b.tree for p in passes for b in p if b.prefix] == list(range(6))
        for branches in passes:
            sizes = [
                sum(map(len, trees[b.tree].suffixes[b.start : b.stop]))
                + b.prefix * len(trees[b.tree].prefix)
                for b in branches
            ]
            assert sum(sizes) <= budget or (
                len(branches) == branches[0].stop - branches[0].start == 1
            )
            assert all(b.keep == (b.stop < 12) for b in branches)
            assert not any(b.keep for b in branches[:-1])
            assert all(b.prefix for b in branches[1:])


def test_a_model_that_cannot_share_is_rated_one_pass_a_rule_with_a_warning(tokenizer, rules):
    """Bloom's positions are a bias on attention, which a packed row cannot show."""
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4)
    model = BloomForCausalLM(config).eval()
    j = LocalJudge(model, tokenizer, "bloom", attention="separate", least_mass=0)
    expected = j.rate(PROMPTS, RESPONSES, rules).probabilities
    with pytest.warns(
        UserWarning, match="its attention cannot be replaced; rating one pass a rule"
    ):
        j = LocalJudge(model, tokenizer, "bloom", least_mass=0)
    assert (j.rate(PROMPTS, RESPONSES, rules).probabilities == expected).all()
    assert j.attention == "separate"


@pytest.mark.parametrize("name", UNSHARED)
def test_what_a_packed_row_cannot_show_is_never_shared(name, tokenizer, rules):
    model = build(name, len(tokenizer))
    alone = LocalJudge(model, tokenizer, name, attention="separate", least_mass=0)
    expected = alone.rate(PROMPTS, RESPONSES, rules).probabilities

    def rate():
        j = LocalJudge(model, tokenizer, name, least_mass=0)
        return j.rate(PROMPTS, RESPONSES, rules).probabilities, j.attention

    with pytest.warns(UserWarning, match=UNSHARED[name][3]):
        found, attention = rate()
    assert (found == expected).all()
    assert attention == "separate"


@pytest.fixture
def wrong_attention():
    """The shared pass sees scores that are half as large again, as if it misread the scaling."""

    def wrong(module, query, *arguments, **settings):
        return tree_attention.attend(module, 1.5 * query, *arguments, **settings)

    AttentionInterface.register(tree_attention.NAME, wrong)
    yield
    AttentionInterface.register(tree_attention.NAME, tree_attention.attend)


def test_a_shared_pass_that_goes_wrong_is_found_out(tokenizer, rules, wrong_attention):
    for dtype in (torch.float32, torch.bfloat16):
        j = LocalJudge(build("llama", len(tokenizer)).to(dtype), tokenizer, "tiny", least_mass=0)
        with pytest.warns(UserWarning, match="a shared pass changes its logits"):
            j.rate(PROMPTS, RESPONSES, rules)
        assert j.attention == "separate"


def test_where_flex_fails_the_grouped_pass_is_tried_before_one_pass_a_rule(
    tokenizer, rules, monkeypatch
):
    run = shared_pass.run

    def fails(model, trees, budget, reduce, attention):
        if attention == "flex":
            raise tree_attention.Unsupported("no kernel for it")
        return run(model, trees, budget, reduce, attention)

    model = build("llama", len(tokenizer))
    expected = LocalJudge(model, tokenizer, "tiny", least_mass=0).rate(PROMPTS, RESPONSES, rules)
    monkeypatch.setattr(shared_pass, "run", fails)
    j = LocalJudge(model, tokenizer, "tiny", attention="flex", least_mass=0)
    with pytest.warns(UserWarning, match="no kernel for it; trying 'grouped'"):
        found = j.rate(PROMPTS, RESPONSES, rules)
    assert j.attention == "grouped"
    assert (found.probabilities == expected.probabilities).all()


def test_bfloat16_shares_and_differs_by_rounding_only(tokenizer, rules):
    model = build("llama grouped-query", len(tokenizer)).to(torch.bfloat16)
    alone = LocalJudge(model, tokenizer, "half", attention="separate", least_mass=0)
    j = LocalJudge(model, tokenizer, "half", least_mass=0)
    p, q = (x.rate(PROMPTS, RESPONSES, rules).probabilities for x in (j, alone))
    assert np.abs(p - q).max() < 0.02
    assert j.attention == "grouped"
