"""Attention of suffixes in bfloat16, by products: beside softmax attention in double precision."""

import pytest
import torch

from rulekit.judges.local import tree_attention


def exactly(query, key, value, scaling, causal):
    """Attention and the logarithms of its sums in float64."""
    repeat = query.shape[1] // key.shape[1]
    q, k, v = query.double(), *(x.double().repeat_interleave(repeat, dim=1) for x in (key, value))
    score = q @ k.mT * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if causal:
        later = torch.ones(score.shape[-2:], dtype=torch.bool).triu(1)
        score = score.masked_fill(later, float("-inf"))
    return score.softmax(-1) @ v, score.logsumexp(-1)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize(("heads", "shared"), [(6, 2), (4, 4), (3, 1)])
@pytest.mark.parametrize(
    "tokens", [1, 40, 400]
)  # 400 tokens of 3 heads are more rows than one part
def test_over_a_prefix(heads, shared, tokens, scaling):
    query = drawn(1, tokens, heads, 16).transpose(1, 2)
    key, value = (drawn(1, 90, shared, 16 + n).transpose(1, 2)[..., :16] for n in (0, 1))
    found, sums = tree_attention._over_prefix(query, key, value, scaling)
    expected, expected_sums = exactly(query, key, value, scaling, causal=False)
    assert (found.shape, sums.shape) == (expected.shape, expected_sums.shape)
    assert (found - expected).abs().max() < 0.03
    assert (sums - expected_sums).abs().max() < 0.06  # scores are rounded to 8 bits


@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize(("heads", "shared"), [(6, 2), (4, 4), (3, 1)])
def test_over_each_suffix_itself(heads, shared, scaling):
    query = drawn(5, 30, heads, 16).transpose(1, 2)
    key, value = (drawn(5, 30, shared, 16 + n).transpose(1, 2)[..., :16] for n in (0, 1))
    found, sums = tree_attention._over_own(query, key, value, scaling)
    expected, expected_sums = exactly(query, key, value, scaling, causal=True)
    assert (found.shape, sums.shape) == (expected.shape, expected_sums.shape)
    assert (found - expected).abs().max() < 0.03
    assert (sums - expected_sums).abs().max() < 0.06  # scores are rounded to 8 bits
