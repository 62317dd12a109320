"""Rewards and tokens of saved models under transformers 4 and here.

    python tests/benchmarks/transformers4.py OTHER_PYTHON [--pairs 12] [--steps 2]
    python tests/benchmarks/transformers4.py OTHER_PYTHON --model FOLDER    a real one, such as SmolLM2

`OTHER_PYTHON` is the interpreter of an environment with transformers 4, which needs nothing of this
kit: ``python -m venv t4 && t4/bin/pip install 'transformers==4.51.*' torch``. Two small random Llamas,
one with the scaled rotary embedding of Llama 3.1 and one with another base, are trained for a few
steps and saved; or a real one on the embedded pairs. Then both versions read them. Printed for each:
sequences with other tokens, the largest difference of a reward beside the spread of rewards, and the
preferences that flip; behind it the same without the names that version 4 looks for.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import rulekit as rk
from rulekit.inputs.pairs import messages
from rulekit.training import RewardModel, train_reward
from rulekit.training import sequences as reading
from tests.training.helpers import make_model, some_pairs

LLAMA31 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
OTHER_BASE = {"rope_type": "default", "rope_theta": 100_000.0}
ADDED = ("rope_theta", "rope_scaling", "torch_dtype")  # to config.json for version 4
THERE = """
import json, sys, torch, transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, chats = sys.argv[1], json.load(open(sys.argv[2]))
assert transformers.__version__.startswith("4."), transformers.__version__
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
found = []
for chat in chats:
    inputs = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        reward = model(**inputs).logits.item()
    found.append([inputs["input_ids"][0].tolist(), reward])
print(json.dumps([transformers.__version__, found]))
"""


def compare(name: str, model: RewardModel, pairs: pl.DataFrame, python: str) -> None:
    """Print how far both versions are apart on the pairs."""
    columns = pairs.select("prompt", *reading.RESPONSES).iter_rows()
    turns = [
        [*messages(prompt), {"role": "assistant", "content": response}]
        for prompt, *both in columns
        for response in both
    ]
    here, (_, tokenizer, _) = model.rewards(pairs), model._model._parts
    ids = [found.tolist() for found in reading.token_ids(turns, tokenizer)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(turns, file)
        file.flush()
        command = [python, "-c", THERE, str(model.folder), file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: not read: {done.stderr.splitlines()[-1]}")
        return
    version, found = json.loads(done.stdout.splitlines()[-1])
    there = np.array([reward for _, reward in found]).reshape(-1, 2)
    other = sum(a != b for a, (b, _) in zip(ids, found, strict=True))
    flipped = (np.sign(here[:, 0] - here[:, 1]) != np.sign(there[:, 0] - there[:, 1])).mean()
    print(
        f"{name}, transformers {version}: {other} of {len(ids)} sequences with other tokens, rewards "
        f"differ by at most {np.abs(here - there).max():.1e} (standard deviation {here.std():.1e}), "
        f"{flipped:.0%} of {len(here)} preferences flipped",
        flush=True,
    )


def main() -> None:
    """Train, save, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python")
    parser.add_argument("--model", help="folder of a real model, in place of the random ones")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bases = {"Llama, scaled": LLAMA31, "Llama, base 100,000": OTHER_BASE}
        runs = {
            name: (make_model(Path(folder) / name, rope_parameters=rotary), some_pairs(100, 0, 40))
            for name, rotary in bases.items()
        }
        if given.model:
            runs = {}
            pairs = rk.load_pairs("embedded")
            length = sum(pl.col(name).str.len_chars() for name in reading.RESPONSES)
            runs["real"] = (given.model, pairs.sort(length)[: 4 * given.pairs])
        for name, (base, pairs) in runs.items():
            model = train_reward(
                pairs,
                config={"model": str(base), "max_tokens": 256, "pairs_per_step": 4}
                | {"token_budget": 1024, "max_steps": given.steps, "learning_rate": 1e-4},
                evaluation_share=0.0,
                output=Path(folder) / f"{name} run",
            )
            compare(name, model, pairs[-given.pairs :], given.python)
            file = model.folder / "config.json"
            config = json.loads(file.read_text())
            bare = {key: value for key, value in config.items() if key not in ADDED}
            file.write_text(json.dumps(bare))
            compare(f"{name}, without the old names", model, pairs[-given.pairs :], given.python)


if __name__ == "__main__":
    main()
