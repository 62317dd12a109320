"""Shared by the tests of training: one thread, a small model, and a run from the command line."""

import gc

import pytest
import torch

from rulekit.files import write_atomically
from tests.training.helpers import make_model, some_pairs


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny matrices: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="package")
def imports_are_not_swept():
    """Each run of the Trainer ends in a full collection: half its time, with all modules to visit."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Folder of a small Llama with a tokenizer, only to be read."""
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def command_line_run(base, tmp_path_factory):
    """Folder with pairs and the settings of a run of 40 steps, only to be read."""
    folder = tmp_path_factory.mktemp("cli")
    write_atomically(folder / "pairs.jsonl", some_pairs(32).write_ndjson)
    (folder / "run.yaml").write_text(
        f"{{preset: encoder-cpu, model: {base}, train: {folder / 'pairs.jsonl'}, max_tokens: 64,"
        " token_budget: 256, pairs_per_step: 8, epochs: 20, evaluation_share: 0.2}\n"
    )
    return folder
