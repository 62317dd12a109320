"""Models and tokenizers are read from a base, or it is said why not."""

import pytest

from rulekit.training import models
from tests.training.helpers import make_model, settings


def test_a_model_that_neither_the_disk_nor_the_hub_has_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match=r"model 'nobody/nothing' could not be read .*; allowed: 'minilm'"
    ):
        models.load_tokenizer(settings("nobody/nothing"))
    with pytest.raises(FileNotFoundError, match="model 'no such model' could not be read"):
        models.load_tokenizer(settings("no such model"))


def test_a_first_run_from_a_base_without_a_head_is_quiet(tmp_path, caplog, capfd):
    from transformers import LlamaModel
    from transformers.utils import logging

    folder = make_model(tmp_path / "base")
    LlamaModel.from_pretrained(folder).save_pretrained(folder)
    capfd.readouterr()
    caplog.clear()
    level = logging.get_verbosity()
    models.load_model(settings(folder), models.load_tokenizer(settings(folder)), ["reward"])
    assert "LOAD REPORT" not in caplog.text + "".join(capfd.readouterr())
    assert logging.get_verbosity() == level
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if "up_proj" in name)
    del state[lost]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"weights missing: .*up_proj.*; allowed: only the head"):
        models.load_model(settings(folder), models.load_tokenizer(settings(folder)), ["reward"])
