"""Presets, files of settings and what is refused in them."""

import pytest

from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.presets import PRESETS


@pytest.mark.parametrize("task", ["reward", "adapter"])
@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"smollm2-frozen"}))
def test_every_preset_serves_both_tasks_and_every_field_is_documented(preset, task, tmp_path):
    config = load_config(preset, task=task)
    (tmp_path / "run.yaml").write_text(f"preset: {preset}\ntask: {task}\n")
    assert load_config(tmp_path / "run.yaml") == config
    assert load_config({"preset": preset}, task=task) == config
    if task == "adapter":
        with pytest.raises(ValueError, match="center: not used by task 'adapter'"):
            load_config(preset, task=task, center=0.1)
    named = {line.strip() for line in TrainingConfig.__doc__.splitlines()}
    documented = {name for line in named for name in line.split(", ")}
    assert set(TrainingConfig.model_fields) <= documented
    assert load_config(config, seed=3, evaluation_share=None).seed == 3
    assert load_config(config.applied()) == config


def test_the_authors_hold_nothing_out():
    assert load_config("paper-8b").evaluation_share == 0


def test_a_yaml_file_starts_from_its_preset_and_an_unknown_key_is_an_error(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("preset: h200-8b\nlora: {rank: 8}\nmax_steps: 7\n")
    config = load_config(file, seed=3)
    assert (config.lora.rank, config.max_steps, config.seed, config.center) == (8, 7, 3, 0.01)
    for text, message in (
        ("learning_rat: 1", "unknown setting 'learning_rat'; allowed: 'learning_rate', "),
        ("lora: {rnk: 8}", "unknown setting 'lora.rnk'; allowed: 'lora.rank', "),
        ("epochs: [1", "run.yaml: .* allowed: YAML"),
        ("3", "holds int; allowed: a mapping"),
        ("{random_weights: true, lora: {quantize: true}}", "random_weights with lora.quantize"),
        ("preset: h100", "allowed: encoder-frozen, encoder-cpu"),
        ("token_budget: 100", "at least 2048"),
        ("warmup: 1.5", "whole steps"),
        ("{precision: bf16-stochastic, optimizer_states: int8}", "round at random"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_config(file)
    with pytest.raises(ValueError, match=r"allowed: encoder-frozen.* or a .yaml file"):
        load_config("paper")


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        ("encoder-cpu", {"l2": 30.0}, "l2: not used by task 'reward'; allowed: with frozen"),
        ("encoder-cpu", {"k": 5}, "k: not used by task 'reward'; allowed: with task 'adapter'"),
        ("encoder-cpu", {"margin_scale": 1.0}, "margin_scale: not used"),
        ("encoder-cpu", {"task": "adapter", "too_long": "drop"}, "too_long: not used"),
        (
            "h200-8b",
            {"compiled_layers": True, "lora": {}},
            "^compiled_layers with lora; allowed: one",
        ),
        ("h200-8b", {"compiled_layers": True, "fsdp": True}, "compiled_layers with fsdp; allowed"),
        ("h200-8b", {"checkpointed_layers": True}, "checkpointed_layers.*: .* valid integer"),
        ("h200-8b", {"checkpointed_layers": -1}, "^checkpointed_layers is -1; allowed: 'all', 0"),
        ("encoder-frozen", {"max_tokens": 64}, "max_tokens: .* frozen model; allowed: .*, l2, "),
        ("encoder-frozen", {"epochs": 50}, "epochs: not used by task 'reward' on a frozen"),
        ("encoder-frozen", {"task": "adapter", "l2": 1.0}, "l2: not used by task 'adapter'"),
        (
            "smollm2-frozen",
            {"task": "adapter"},
            "with frozen and task 'adapter'; allowed: 'minilm'",
        ),
        ("smollm2-frozen", {"learning_rate": 1.0}, "learning_rate: .*; allowed: .*, layer, "),
        ("encoder-frozen", {"layer": 3}, "layer: not used by task 'reward' on a frozen"),
        ("encoder-frozen", {"objective": "margin"}, "objective 'margin' with frozen"),
        ("encoder-frozen", {"nonsense": 3}, "unknown setting 'nonsense'"),
        ("encoder-frozen", {"task": "adapter", "epochs": 1.5}, "allowed: whole numbers"),
    ],
)
def test_a_setting_beside_a_config_is_used_or_refused_by_name(config, settings, message):
    """Also where it is what the config says already."""
    with pytest.raises(ValueError, match=message):
        load_config(config, **settings)
