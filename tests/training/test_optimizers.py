"""The optimiser of bfloat16 weights: its update as it stands, and as it is compiled for a GPU."""

import numpy as np
import pytest
import torch

from rulekit.training import optimizers
from rulekit.training.optimizers import StochasticAdamW, adamw, round_at_random


def trained(steps: int, dtype=torch.bfloat16, states=torch.bfloat16, seed=0, decay=0.1) -> list:
    """Weights of a matrix and a vector, and their moments, after some steps."""
    torch.manual_seed(seed)
    weights = [torch.nn.Parameter(torch.randn(size).to(dtype)) for size in ((24, 8), (5,))]
    optimizer = StochasticAdamW(weights, lr=1e-2, weight_decay=decay, state_dtype=states)
    for i in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * i  # as a schedule does, 0 at first
        for weight in weights:
            weight.grad = torch.sin(weight.detach().float() * (i + 1)).to(dtype)
        optimizer.step()
    moments = [optimizer.state[w][name] for w in weights for name in ("exp_avg", "exp_avg_sq")]
    return [*(w.detach() for w in weights), *moments]


@pytest.mark.parametrize("states", [torch.bfloat16, torch.float32])
def test_the_update_compiles_whole_and_once_for_all_sizes_rates_and_steps(states, monkeypatch):
    # A private name: several slices would take sixteen million weights.
    monkeypatch.setattr(optimizers, "_SLICE", 50)
    expected = trained(6, states=states)
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(adamw, backend=count, dynamic=True, fullgraph=True)
    monkeypatch.setattr(optimizers, "update_on", lambda device: compiled)
    for ours, theirs in zip(trained(6, states=states), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert len(graphs) == 1


def test_an_update_that_does_not_compile_is_announced_once_and_done_as_it_stands(monkeypatch):
    def fails():
        raise RuntimeError("no C compiler found\nand more")

    monkeypatch.setattr(torch.cuda, "current_device", fails)
    optimizers._compiled.cache_clear()  # a private name: it is tried once a process
    with pytest.warns(
        UserWarning, match="not compiled, steps take longer: no C compiler found$"
    ) as told:
        found = [optimizers.update_on(torch.device("cuda")) for _ in range(3)]
    optimizers._compiled.cache_clear()
    assert len(told) == 1
    assert found == [adamw] * 3
    assert optimizers.update_on(torch.device("cpu")) is adamw


def test_steps_repeat_to_the_bit_from_the_same_seed_and_differ_from_another():
    first, again, other = trained(4), trained(4), trained(4, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_weight_and_moments_are_each_rounded_right_on_average():
    n = 200_000
    start = {"weight": 1.001, "first": 0.2503, "second": 0.0312}
    parts = {name: torch.full((n,), x, dtype=torch.bfloat16) for name, x in start.items()}
    exact = {name: part[:1].double() for name, part in parts.items()}
    g = torch.full((n,), 0.71, dtype=torch.bfloat16)
    rate, floor, keep = torch.tensor([1e-3, 1e-8, 0.999]).unbind()
    torch.manual_seed(0)
    adamw(parts["weight"], g, parts["first"], parts["second"], rate, floor, keep, 0.9, 0.999, True)
    x = g[0].double()
    exact["first"] = 0.9 * exact["first"] + 0.1 * x
    exact["second"] = 0.999 * exact["second"] + 0.001 * x**2
    exact["weight"] = 0.999 * exact["weight"] - 1e-3 * exact["first"] / exact["second"].sqrt()
    for name, part in parts.items():
        spacing = part.double().max() - part.double().min()
        assert 0 < spacing <= exact[name].abs() * 2**-7
        assert abs(part.double().mean() - exact[name]) < 4 * spacing / (2 * n**0.5)


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, -1, -4194304])
def test_every_nan_stays_one(bits):
    """A GPU's own NaN has all bits set: a carry would make a zero of it."""
    nan = torch.tensor([bits], dtype=torch.int32).view(torch.float32).expand(1000)
    assert round_at_random(nan).isnan().all()
    parts = [torch.ones(1000, dtype=torch.bfloat16) for _ in range(3)]
    adamw(parts[0], nan, parts[1], parts[2], *torch.ones(3).unbind(), 0.9, 0.999, False)
    assert all(part.isnan().all() for part in parts)


def test_rounding_at_random_is_right_on_average_and_keeps_what_bfloat16_can_hold():
    generator = torch.Generator().manual_seed(0)
    value = torch.tensor([1.0, 1.001, -3.1415927, 1e-30, 0.0, 2.0**-133, torch.inf, -torch.inf])
    many = round_at_random(value.expand(20_000, -1), generator).double()
    spacing = torch.tensor([0, 2.0**-7, 2.0**-6])  # of bfloat16 around the first three
    error = (many[:, :3].mean(0) - value[:3]).abs()
    assert (error <= 4 * spacing / (2 * 20_000**0.5)).all()
    assert (many[:, 0] == 1).all()
    assert set(many[:, 1].unique().tolist()) == {1.0, 1.0 + 2**-7}
    assert many[0, 6:].tolist() == [np.inf, -np.inf]
    assert torch.isnan(round_at_random(torch.tensor([torch.nan]))).all()


def test_small_updates_arrive_with_random_rounding_and_are_lost_without():
    """Updates of 1e-4 on a weight of 1, where bfloat16 steps by 1/128."""
    ends = {}
    for name, optimizer in {
        "exact": torch.optim.AdamW,
        "nearest": torch.optim.AdamW,
        "random": StochasticAdamW,
    }.items():
        torch.manual_seed(0)
        dtype = torch.float32 if name == "exact" else torch.bfloat16
        weight = torch.nn.Parameter(torch.ones(4096, dtype=dtype))
        steps = optimizer([weight], lr=1e-4, weight_decay=0.0)
        for _ in range(200):
            weight.grad = torch.ones_like(weight)
            steps.step()
        ends[name] = weight.float().mean().item()
    assert ends["exact"] == pytest.approx(0.98, abs=1e-4)
    assert ends["nearest"] == 1.0
    assert ends["random"] == pytest.approx(0.98, abs=1e-3)


def test_our_adamw_in_float32_is_adamw():
    torch.manual_seed(0)
    start = torch.randn(300)
    ends = []
    for optimizer, more in (
        (torch.optim.AdamW, {}),
        (StochasticAdamW, {"state_dtype": torch.float32}),
    ):
        weight = torch.nn.Parameter(start.clone())
        steps = optimizer([weight], lr=1e-2, weight_decay=0.1, **more)
        for i in range(20):
            weight.grad = torch.sin(weight.detach() * (i + 1))
            steps.step()
        ends.append(weight.detach())
    torch.testing.assert_close(*ends, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match=r"allowed: torch\.float32"):
        StochasticAdamW([torch.nn.Parameter(start)], state_dtype=torch.float16)
