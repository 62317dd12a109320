"""Planned memory against autograd, against a count by hand, and against the device."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig

from rulekit.training import batches, models, step_time
from rulekit.training.config import load_config
from rulekit.training.engine import train
from rulekit.training.memory_plan import activation_bytes, plan
from tests.training.helpers import engine_parts, make_model, settings, some_pairs


@pytest.mark.parametrize("checkpointed", [0, "all", 1])
def test_planned_activations_are_those_that_autograd_keeps(checkpointed, tmp_path):
    folder = make_model(tmp_path / "m", hidden_size=128, intermediate_size=448, num_hidden_layers=4)
    config = settings(folder, checkpointed_layers=checkpointed)
    model, _, examples = engine_parts(config, some_pairs(40))
    batch = batches.pack(examples, batches.Pass(np.arange(40), np.full(40, 1 / 40)))
    kept, weights_at = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(x):
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights_at:
            kept[storage.data_ptr()] = (
                storage.nbytes(),
                x,
            )  # the reference keeps the address taken
        return x

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        model(**models.packed_inputs(batch))
    found = sum(size for size, _ in kept.values()) / batch["input_ids"].shape[1]
    planned = activation_bytes(model.config, config)
    if checkpointed:  # one more layer is whole while it is computed again
        bare = model.config.to_dict() | {"num_hidden_layers": 1}
        planned -= activation_bytes(type(model.config)(**bare), settings(folder)) - 12 * 128
    assert found == pytest.approx(planned, rel=0.2)


def test_a_plan_for_another_device_is_that_of_the_device(tmp_path):
    config = settings(make_model(tmp_path / "m"), device_memory_gb=80.0)
    of_a_gpu = plan(config)
    assert of_a_gpu.overhead_gb == 1.0
    assert of_a_gpu.total_gb > plan(settings(tmp_path / "m")).total_gb


def test_a_plan_counts_the_8b_model_and_refuses_what_cannot_fit(tmp_path):
    eight = {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    LlamaConfig(**eight).save_pretrained(tmp_path)
    config = load_config("h200-8b", model=str(tmp_path), device_memory_gb=141)
    found = plan(config, np.full(640, 500))
    assert found.parameters == 7_504_928_768  # 8.03 billion without the output matrix of the LM
    assert found.weights_gb == pytest.approx(2 * 7.505, rel=1e-3)
    assert found.gradients_gb == found.weights_gb
    assert found.optimizer_gb == pytest.approx(4 * 7.505, rel=1e-3)
    assert found.steps == 10
    assert found.flops == pytest.approx(6 * 6.98e9 * 640 * 500, rel=0.02)
    assert found.check() is found
    assert 60 < found.total_gb < 100
    whole = load_config(config, precision="float32", optimizer_states="float32")
    with pytest.raises(ValueError, match=r"needs about 1\d\d.* GB and the device has 141.0 GB"):
        plan(whole).check()
    lora = plan(load_config(config, lora={"rank": 16}))
    assert lora.trainable == 41_943_040 + 4096
    assert lora.total_gb < found.total_gb - 40
    with pytest.raises(ValueError, match="allowed: less"):
        train(
            some_pairs(8),
            config=settings(make_model(tmp_path / "m"), device_memory_gb=0.01),
            output=tmp_path / "r",
        )


def test_a_plan_of_the_8b_model_is_what_one_counts_by_hand(tmp_path):
    """With a head of one logit: 7,504,928,768 parameters."""
    hidden, inner, keys, layers, vocabulary = 4096, 14_336, 1024, 32, 128_256
    embedding = vocabulary * hidden
    linear = layers * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner)
    norms = (2 * layers + 1) * hidden
    total = embedding + linear + norms + hidden
    assert (total, linear) == (7_504_928_768, 6_979_321_856)
    matrices = 16 * layers * (2 * (hidden + hidden) + 2 * (hidden + keys) + 3 * (hidden + inner))
    assert matrices == 41_943_040
    eight = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    LlamaConfig(**eight).save_pretrained(tmp_path)

    def planned(processes=1, **fields):
        config = load_config("h200-8b", model=str(tmp_path), device_memory_gb=141, **fields)
        found = plan(config, processes=processes)
        return (
            found.parameters,
            found.weights_gb * 1e9,
            found.gradients_gb * 1e9,
            found.optimizer_gb * 1e9,
        )

    def close(*bytes_):
        return (total, *(pytest.approx(x, rel=1e-9) for x in bytes_))

    trained = matrices + hidden
    block = (total - embedding) / layers
    assert planned() == close(2 * total, 2 * total, 4 * total)
    # float32 weights, and a bfloat16 copy of all that is multiplied
    assert planned(precision="bf16") == close(
        4 * total + 2 * (total - embedding), 4 * total, 4 * total
    )
    # each process a copy, and the gradients once more in the buckets that are exchanged
    assert planned(processes=8) == close(2 * total, 4 * total, 4 * total)
    assert planned(processes=8, fsdp=True) == close(
        2 * total / 8 + 2 * (embedding + 2 * block), 2 * total / 8, 4 * total / 8
    )
    assert planned(lora={"rank": 16}) == close(2 * total + 2 * trained, 2 * trained, 4 * trained)
    # a fixed base's copies are made anew with its layers
    assert planned(lora={"rank": 16}, precision="bf16") == close(
        4 * total + 4 * trained + 2 * (total - embedding) / layers, 4 * trained, 4 * trained
    )
    four_bits = linear * (1 / 2 + 1 / 64 + 4 / 64 / 256)
    assert planned(lora={"quantize": True}) == close(
        four_bits + 2 * (total - linear) + 2 * trained, 2 * trained, 4 * trained
    )


class _Products(TorchDispatchMode):
    """Types of the matrices that are multiplied."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            self.types.add(args[-1].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("precision", "multiplied"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("bf16-stochastic", torch.bfloat16)],
)
@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_the_plan_times_products_of_the_type_that_is_trained(precision, multiplied, kind, tmp_path):
    """Of a block, and of a real step of the run."""
    config = settings(make_model(tmp_path / "m", kind), precision=precision)
    model, _, examples = engine_parts(config, some_pairs(4))
    with _Products() as planned:
        found = step_time.unit_times(model.config, config, examples.tokens)
    assert planned.types == {multiplied}
    assert min(found.trained, found.read, found.updated) > 0
    batch = batches.pack(examples, batches.Pass(np.arange(4), np.full(4, 0.25)))
    with _Products() as run, step_time.precision_of(config):
        model(**models.packed_inputs(batch)).sum().backward()
    assert run.types - {torch.float32} == planned.types - {torch.float32}  # the head is float32


def test_the_block_that_is_timed_has_the_low_rank_matrices_and_the_window_of_the_run(tmp_path):
    folder = make_model(tmp_path / "m", "mistral")
    config = settings(folder, lora={"rank": 3})
    model, _, examples = engine_parts(config, some_pairs(4))
    described = model.get_base_model().config
    one = step_time.block(described, config)
    learned = [n for n, p in one.named_parameters() if p.requires_grad]
    assert sum("lora_" in n for n in learned) == 14  # seven linear layers of one block, two each
    assert all("lora_" in n or "score" in n for n in learned)
    step_time.unit_times(described, config, examples.tokens)


def test_seconds_of_a_run_are_tokens_times_blocks_and_the_optimisers_steps():
    times = step_time.UnitTimes(trained=3.0, read=1.0, updated=0.5)
    whole = times.run(layers=4, again=2, tokens=10, held_out=5, steps=2, trainable=7)
    assert whole == 10 * (3 * 4 + 1 * 2) + 5 * 4 * 1 + 2 * 7 * 0.5


def test_a_plan_on_a_cpu_says_what_its_time_rests_on(tmp_path):
    config = settings(make_model(tmp_path / "m"), precision="bf16")
    found = plan(config, np.full(16, 30), held_out=np.full(8, 30))
    assert found.seconds > 0
    assert "min as one block takes here in bfloat16" in str(found)
    assert plan(config).seconds is None
