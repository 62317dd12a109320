"""Two small reward models with chat templates, and items in the published layouts."""

import json

import pytest
import torch

from tests.training.helpers import make_model


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny matrices: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def rewards(tmp_path_factory):
    """Folders of a reward model and its base, with rewards around 1; only to be read."""
    folders = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"rewards{seed}")
        make_model(folder, seed=seed, max_position_embeddings=16384)
        scale_head(folder, 60.0)
        folders.append(folder)
    return folders


def scale_head(folder, factor):
    """Rewards of the size that trained models give."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    for name in {"score.weight", "classifier.weight"} & weights.keys():
        weights[name] *= factor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture
def pairs_file(tmp_path):
    """Twelve short items in two subsets, in JSON lines."""
    words = [
        "kind",
        "rude",
        "answer",
        "helps",
        "hurts",
        "people",
        "care",
        "thanks",
        "please",
        "never",
        "always",
        "no",
    ]
    rows = [
        {
            "id": f"i{n}",
            "subset": "one" if n % 2 else "two",
            "prompt": f"the {words[n]} answer",
            "chosen": " ".join(words[: 1 + n % 5]),
            "rejected": " ".join(words[n:] + ["no"] * (n % 3)),
        }
        for n in range(12)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
