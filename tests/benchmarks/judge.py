"""The offline judge on 1,000 responses x 100 rules: each text encoded once, or each rating a pass.

    python tests/benchmarks/judge.py [N]        default: 1000 responses

Responses are those of the embedded corpus, with a running number so that none is in a cache. The
cross-encoder's time is measured on 10 responses under all rules and scaled. The floor is the encoder
alone over the same texts.
"""

import os
import resource
import sys
import tempfile
import time
from unittest.mock import patch

import torch

import rulekit as rk
from rulekit.encoder import Encoder
from rulekit.inputs.pairs import prompt_text
from rulekit.judges import networks

SAMPLE = 10


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    data = rk.sources.load_labelled("embedded")
    rules, judge = data.rules, rk.judge("encoder")
    size = len(data.responses)
    prompts = [f"{i}. {prompt_text(data.prompts[i % size])}" for i in range(n)]
    responses = [f"{i}. {data.responses[i % size]}" for i in range(n)]
    cross = networks.CrossEncoder().eval()  # its speed does not depend on what it learned
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, RULEKIT_CACHE=cache):
        once = seconds(lambda: judge.rate(prompts, responses, rules))
        again = seconds(lambda: judge.rate(prompts, responses, rules))
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, RULEKIT_CACHE=cache):
        parts = [s for text in responses for s in networks.sentences(text)]
        floor = seconds(lambda: Encoder.load().embed([*prompts, *responses, *parts, *rules.texts]))
    some = prompts[:SAMPLE], responses[:SAMPLE], rules.texts
    each = seconds(lambda: networks.network_logits(cross, *some)) * n / SAMPLE
    print(f"{n:,} responses x {len(rules)} rules, {torch.get_num_threads()} threads")
    print(f"{'each text once':34s} {once:9.1f} s   1.0 x   {n * len(rules) / once:,.0f} ratings/s")
    print(f"{'again, vectors cached':34s} {again:9.1f} s {again / once:6.2f} x")
    print(f"{'encoder alone (floor)':34s} {floor:9.1f} s {floor / once:6.2f} x")
    print(
        f"{'a pass each rating (from ' + str(SAMPLE) + ')':34s} {each:9.1f} s {each / once:6.1f} x"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
