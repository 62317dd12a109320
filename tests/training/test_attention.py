"""Attention on packed rows: every allowed name against the padded model, every kernel's signature."""

import inspect
import types
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import AutoConfig, AutoModelForSequenceClassification

from rulekit.training import attention, batches, models
from tests.training.helpers import make_model, settings, some_pairs

DECODERS = ["llama", "qwen3", "mistral"]  # mistral: a window of 8 tokens


@pytest.fixture(autouse=True)
def nothing_said_yet():
    """A private name: what is said once a process is to be heard in each test."""
    attention._say_once.cache_clear()
    yield
    attention._say_once.cache_clear()


def packed_and_padded(folder, name, n=6):
    """Rewards (2 n,) of a packed row under an attention, and of the same model on padded rows."""
    tokenizer = models.load_tokenizer(settings(folder))
    examples = batches.preference_examples(some_pairs(n), np.ones(n), tokenizer, max_tokens=64)
    batch = batches.pack(examples, batches.Pass(np.arange(n), np.ones(n)))
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation=name)
    model.config.use_cache = False
    packed = models.read_packed(model.eval())(**models.packed_inputs(batch))
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = [s.tolist() for group in examples.sequences for s in group]
    padded = plain(**tokenizer.pad({"input_ids": ids}, return_tensors="pt")).logits
    return packed.detach()[:, 0], padded.detach()[:, 0]


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("requested", ["auto", "segments", "sdpa", "eager"])
def test_every_attention_of_a_decoder_gives_the_rewards_of_the_padded_model(
    kind, requested, tmp_path
):
    folder = make_model(tmp_path, kind)
    name = attention.choose(requested, "cpu", AutoConfig.from_pretrained(folder))
    packed, padded = packed_and_padded(folder, name)
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)


def test_flex_attention_is_for_decoders_on_a_gpu_and_gives_the_rewards_too(tmp_path):
    folder = make_model(tmp_path, "llama")
    described = AutoConfig.from_pretrained(folder)
    assert attention.choose("flex_attention", "cuda", described) == "flex_attention"
    with pytest.raises(ValueError, match=r"allowed: auto, .*, sdpa, eager$"):
        attention.choose("flex_attention", "cpu", described)
    # On a CPU it only infers; compiled, it would not be a GPU's kernel either.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        packed, padded = packed_and_padded(folder, "flex_attention")
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)


@pytest.mark.parametrize("requested", ["auto", "segments"])
def test_every_attention_of_an_encoder_gives_the_rewards_of_the_padded_model(requested, tmp_path):
    folder = make_model(tmp_path, "bert")
    name = attention.choose(requested, "cpu", AutoConfig.from_pretrained(folder))
    packed, padded = packed_and_padded(folder, name)
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)


@pytest.mark.parametrize("requested", ["sdpa", "eager", "flex_attention"])
def test_what_would_mix_the_sequences_of_an_encoder_is_refused(requested, tmp_path):
    folder = make_model(tmp_path, "bert")
    allowed = "allowed: auto, segments, flash_attention_2, flash_attention_3$"
    for described in (AutoConfig.from_pretrained(folder), None):
        with pytest.raises(ValueError, match=f"{requested}.* apart.*{allowed}"):
            attention.choose(requested, "cpu", described)
    config = settings(folder, attention=requested)
    with pytest.raises(ValueError, match=allowed):
        models.load_model(config, models.load_tokenizer(config), ["reward"])


def test_an_unknown_attention_is_refused_and_flash_attention_is_what_was_asked_for():
    with pytest.raises(ValueError, match=r"'paged' .*allowed: auto, segments"):
        attention.choose("paged", "cpu")
    assert attention.choose("flash_attention_2", "cpu") == "flash_attention_2"
    assert attention.choose("auto", "cpu") == "segments"


def reference(q, k, v, bounds, window, scale):
    """(n_tokens, n_heads, head_dim) from the kernel's own layout; window (back, ahead), -1 is open."""
    assert q.dtype == k.dtype == v.dtype
    assert bounds.dtype == torch.int32
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    out = torch.empty_like(q)
    for start, end in pairwise(bounds.tolist()):
        n = end - start
        back = torch.arange(n)[:, None] - torch.arange(n)
        seen = back <= window[0] if window[0] >= 0 else torch.ones_like(back, dtype=torch.bool)
        seen = seen & (-back <= window[1]) if window[1] >= 0 else seen
        parts = [x[start:end].transpose(0, 1) for x in (q, k, v)]
        found = torch.nn.functional.scaled_dot_product_attention(*parts, seen, scale=scale)
        out[start:end] = found.transpose(0, 1)
    return out


def torch_2_10(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None
):
    assert query.shape[1] == key.shape[1]
    return reference(query, key, value, cu_seq_q, (-1, 0) if is_causal else (-1, -1), None)


def torch_2_11(
    query,
    key,
    value,
    cu_seq_q,
    cu_seq_k,
    max_q,
    max_k,
    *,
    return_aux=None,
    scale=None,
    window_size=(-1, -1),
):
    assert query.shape[1] == key.shape[1]
    return reference(query, key, value, cu_seq_q, window_size, scale)


def torch_2_12(
    query,
    key,
    value,
    cu_seq_q,
    cu_seq_k,
    max_q,
    max_k,
    *,
    return_aux=None,
    scale=None,
    window_size=(-1, -1),
    enable_gqa=False,
    seqused_k=None,
    block_table=None,
    num_splits=None,
):
    assert enable_gqa == (query.shape[1] != key.shape[1])
    return reference(query, key, value, cu_seq_q, window_size, scale)


RELEASES = [torch_2_10, torch_2_11, torch_2_12]


def use(monkeypatch, kernel, asked=None) -> list:
    """Hand in a kernel as if this were a GPU; returns the types it is called with.

    Private names: here is no GPU, and torch has its kernel in one release only. `asked` takes the
    types of the queries for which a kernel is sought.
    """
    types_seen, asked = [], [] if asked is None else asked

    def call(query, key, value, *args, **kwargs):
        types_seen.append((query.dtype, key.dtype, value.dtype))
        return kernel(query, key, value, *args, **kwargs)

    found = None if kernel is None else (call, frozenset(inspect.signature(kernel).parameters))
    # Private, since what they ask for, a GPU and its kernel, cannot be had here.
    monkeypatch.setattr(attention, "_kernel", lambda: found)
    monkeypatch.setattr(attention, "_on_gpu_in_half", lambda query: not asked.append(query.dtype))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    return types_seen


def some_tensors(key_heads: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    make = [
        torch.randn(1, heads, 23, 8, generator=generator) for heads in (4, key_heads, key_heads)
    ]
    bounds = torch.tensor([0, 5, 6, 23], dtype=torch.int32)
    return [x.to(dtype) for x in make], {"cu_seq_lens_q": bounds, "max_length_q": 17}


@pytest.mark.parametrize("kernel", RELEASES)
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("width", [None, 6, 40])
@pytest.mark.parametrize("scaling", [None, 8**-0.5, 0.2])
def test_every_release_of_the_kernel_gives_what_one_call_a_sequence_gives(
    kernel, key_heads, causal, width, scaling, monkeypatch
):
    tensors, boundaries = some_tensors(key_heads)
    layer = types.SimpleNamespace(is_causal=causal)
    settings = {"scaling": scaling, "sliding_window": width, **boundaries}
    expected, _ = attention.segment_attention(layer, *tensors, **settings)
    called = use(monkeypatch, kernel)
    if kernel is torch_2_10 and width == 6:
        with pytest.warns(UserWarning, match="no sliding window in it"):
            found, _ = attention.segment_attention(layer, *tensors, **settings)
        assert not called
    else:
        found, _ = attention.segment_attention(layer, *tensors, **settings)
        assert len(called) == 1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_this_torch_has_a_signature_that_is_known():
    names = inspect.signature(varlen_attn).parameters.keys()
    assert {"cu_seq_q", "cu_seq_k", "max_q", "max_k"} <= names
    assert names & {"is_causal", "window_size"}


def test_without_a_kernel_sequences_go_one_by_one_and_it_is_said_once(monkeypatch, recwarn):
    tensors, boundaries = some_tensors(2)
    layer = types.SimpleNamespace(is_causal=True)
    expected, _ = attention.segment_attention(layer, *tensors, **boundaries)
    use(monkeypatch, None)
    for _ in range(3):
        found, _ = attention.segment_attention(layer, *tensors, **boundaries)
    assert torch.equal(found, expected)
    assert [str(w.message) for w in recwarn if "one call a sequence" in str(w.message)] == [
        f"attention 'segments' makes one call a sequence: torch {torch.__version__} has no "
        "variable-length attention (2.10 has); flash-attn would be faster"
    ]


def test_under_autocast_the_kernel_gets_one_half_precision_type(monkeypatch, tmp_path):
    """Rotary positions would leave query and key in float32."""
    folder = make_model(tmp_path)
    seen = []
    called = use(monkeypatch, torch_2_12, seen)
    with torch.autocast("cpu", torch.bfloat16):
        packed, padded = packed_and_padded(folder, "segments")
    assert set(seen) == {torch.bfloat16}
    assert set(called) == {(torch.bfloat16,) * 3}
    torch.testing.assert_close(packed.float(), padded.float(), atol=0.1, rtol=0)
