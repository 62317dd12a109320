"""The model card: what a trained folder says about itself to whoever loads it.

Settings, measures and provenance come in, ``README.md`` goes out. `engine` writes it. A card travels:
files and folders of this machine are named by their last part and a digest, and what others wrote,
such as the name of a file, is printed as text and never as markup.
"""

from __future__ import annotations

import html
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rulekit import encoder
from rulekit.files import sha256, sha256_file, write_atomically
from rulekit.training.config import TrainingConfig

_USE = """\
```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
# transformers 4 calls `dtype` `torch_dtype`
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.DTYPE).eval()
chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
inputs = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
with torch.inference_mode():
    logits = model(**inputs).logits  # (1, N_LABELS)
```
"""
_USE_HEAD = """\
```python
import rulekit as rk

adapter = rk.training.RuleAdapter.load(folder)
named = adapter.select(pairs, k=5)  # of N_LABELS rules
```
"""
_USE_STATES = """\
```python
import rulekit as rk

model = rk.RewardModel.load(folder)  # reads BASE for it
rewards = model.rewards(pairs)  # (n_pairs, 2)
```
"""


def write_card(
    folder: str | Path,
    config: TrainingConfig,
    *,
    metrics: dict | None,
    n_train: int,
    left_out: dict[str, int],
    provenance: dict,
    n_labels: int,
    truncation: dict[str, dict[str, int]] | None = None,
    remarks: Sequence[str] = (),
) -> Path:
    """Write ``README.md`` with data, rule set, label method, metrics with intervals and limits.

    Parameters
    ----------
    folder
        Of the model.
    config
        Settings of the run.
    metrics
        Held-out measures; empty if nothing was held out, None if they were not taken.
    n_train, left_out
        Examples trained on; reason → pairs that were not.
    provenance
        Whatever is known of the data: `data_sha256`, `rule_set`, `label_method`, `data` and more.
    n_labels
        Logits of the model.
    truncation
        Of the texts to train on, ``train``, and to measure on, ``evaluation``: what was cut, as
        `rulekit.training.sequences.counted` says it.
    remarks
        What whoever reads the measures should know.

    Returns
    -------
    The card's path.
    """
    base, told_of_base = _base(config)
    kind = "reward model" if config.task == "reward" else "Rule Adapter"
    halved = config.precision == "bf16-stochastic" or (config.lora and config.lora.quantize)
    whole = not config.frozen or (config.task == "reward" and not config.reads_states)
    use = _USE if whole else _USE_STATES if config.reads_states else _USE_HEAD
    reads = "states" if config.reads_states else config.frozen
    lines = [
        "---",
        f"library_name: {'transformers' if whole else 'rulekit'}",
        "pipeline_tag: text-classification",
        *([f"base_model: {base}"] if _HUB_NAME.fullmatch(base) else []),
        "tags: [rulekit, " + ("reward-model]" if config.task == "reward" else "rule-adapter]"),
        "---",
        "",
        f"# {kind[0].upper()}{kind[1:]} from {_code(base)}",
        "",
        f"{_PURPOSE[config.task]} {_READS[config.task, reads]}",
        "",
        use.replace("N_LABELS", str(n_labels))
        .replace("DTYPE", "bfloat16" if halved else "float32")
        .replace("BASE", base),
        *([_BFLOAT16, ""] if halved else []),
        "## Data",
        "",
    ]
    told = {
        "base_model": told_of_base,
        "data": "not stated",
        "data_sha256": "not stated",
        "rule_set": "not stated",
        "label_method": "not stated",
        "selector": "not stated",
        **provenance,
    }
    lines += [
        f"- {_escaped(name.replace('_', ' '))}: {_escaped(without_paths(value))}"
        for name, value in told.items()
    ]
    lines.append(f"- {n_train} pairs trained on")
    lines += [f"- {n} pairs left out: {reason}" for reason, n in left_out.items()]
    lines += [f"- {_truncated(name, counts)}" for name, counts in (truncation or {}).items()]
    lines += [f"- note: {_escaped(without_paths(remark))}" for remark in remarks]
    lines += [
        "",
        "## Held-out measures",
        "",
        *_measures(metrics, config.task),
        "",
        "## Settings",
        "",
    ]
    settings = config.applied() | {"model": base}
    lines += [f"- {name}: {_code(without_paths(value))}" for name, value in settings.items()]
    lines += ["", "## Limits", "", _LIMITS[config.task]]
    if config.task == "reward":
        lines[-1] += _CUT[config.reading[1]]
    if config.lora and config.lora.quantize:
        lines += ["", _QUANTIZED]
    lines += ["", "## Made with", "", _versions(), ""]
    path = Path(folder) / "README.md"
    text = "\n".join(lines)
    return write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# An absolute path inside a text, up to the next space or quote; an address (https://…) is none.
_PATH = re.compile(r"""(?<![^\s"'(=\[,])(?:file://)?(?:~?/|~?\\\\|[A-Za-z]:[\\/])[^\s"'`,;]+""")


def without_paths(value: object) -> str:
    """A value as text in which files and folders of this machine are told by name and digest."""
    text = str(value)
    try:
        path = Path(text).expanduser()
        if text.strip() and len(text) < 4096 and path.exists():
            return _named(path)
    except (OSError, ValueError, RuntimeError):  # no name of a file
        pass
    return _PATH.sub(lambda found: re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], text)


def _named(path: Path) -> str:
    """Last part of a path, and the SHA-256 of the file, or of a model folder's weights."""
    path = path.resolve()
    if path.is_file():
        return f"{path.name}, sha256 {sha256_file(path)}"
    weights = sorted(path.glob("*.safetensors")) or sorted(path.glob("config.json"))
    digests = [sha256_file(file) for file in weights]
    if len(digests) > 1:
        digests = [sha256("".join(digests))]
    return ", sha256 ".join([path.name, *digests])


def _escaped(text: str) -> str:
    """Text that Markdown and HTML print as it is, in one line."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", plain)


def _code(text: str) -> str:
    """Text as Markdown's code in one line, whatever backticks are in it."""
    text = " ".join(text.split())
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _base(config: TrainingConfig) -> tuple[str, str]:
    """Name of the model that training began with, and all that pins it."""
    name, pinned = config.model, ""
    if config.model == "minilm":
        digest = sha256_file(encoder.folder() / "model.safetensors")
        name = encoder.HUB_NAME if digest == encoder.SHA256 else encoder.folder().name
        pinned = f", sha256 {digest}"
    elif Path(config.model).expanduser().is_dir():
        name, _, pinned = _named(Path(config.model).expanduser()).partition(",")
        pinned = f",{pinned}" if pinned else ""
    if config.revision:
        pinned = f", revision {config.revision}"
    start = ", random weights in place of its own" if config.random_weights else ""
    return name, f"{name}{pinned}{start}"


_BFLOAT16 = """\
Loaded like this, the head's product is rounded to bfloat16 as well: a reward may be off by 1 % of
itself and 0.02 from the ones measured here, whose head computes in float32. `dtype=torch.float32`
takes twice the memory and comes closer."""
_QUANTIZED = (
    "Training and the held-out measures had the base in 4 bits; the saved model has it in bfloat16, "
    "with the low-rank matrices merged, so its rewards differ a little from the measured ones."
)
_PURPOSE = {
    "reward": "Gives one reward for a response behind its conversation. Only differences between "
    "responses to the same prompt mean anything.",
    "adapter": "Names the rules on which two responses to a prompt differ most: one logit a rule.",
}
_READS = {
    ("reward", False): "It reads prompt and response.",
    ("reward", True): "It reads the response alone: its chat template leaves the prompt out.",
    (
        "reward",
        "states",
    ): "It is a linear layer on the mean state of the response, behind its prompt, at "
    "one layer of the model, whose weights are as they were.",
    ("adapter", False): "Both responses, in alphabetical order, stand in one assistant message.",
    ("adapter", True): "It is a linear layer on the vectors of the prompt and of both responses.",
}
_CUT = {
    "start": " Texts longer than `max_tokens` were cut on the left behind the first token; do the same, "
    "or expect other rewards.",
    "end": f" Responses over {encoder.MAX_TOKENS} tokens were cut at their end, before the last token: "
    "`tokenizer(response, truncation=True)` gives the same ids as the chat template and cuts "
    "likewise.",
}
_LIMITS = {
    "reward": "A reward model repeats the mistakes of its labels, prefers what resembles its "
    "training data, and can be exploited by a policy that is optimised against it. It is no judge "
    "of truth.",
    "adapter": "It knows the rules it was trained on, by position. It says where responses differ, "
    "not which of them is better.",
}


def _truncated(name: str, counts: dict[str, int]) -> str:
    """What was cut of the texts of training or evaluation."""
    whole = f"{counts['truncated']} of {counts['sequences']} sequences of {name} were cut"
    if not counts["truncated"]:
        return whole
    parts = [n.removesuffix("_truncated") for n in counts if n.endswith("_truncated")]
    told = (
        f"{part.replace('_', ' ')}: {counts[f'{part}_tokens_cut']} in {counts[f'{part}_truncated']}"
        for part in parts
    )
    return f"{whole} and lost {counts['tokens_cut']} tokens ({'; '.join(told)})"


def _measures(metrics: dict | None, task: str) -> list[str]:
    if metrics is None:
        return ["None: they were not taken, the run ended before."]
    if not metrics:
        return ["None: nothing was held out."]
    plain = {name.removeprefix("eval_"): value for name, value in metrics.items()}
    how = "pairs taken as independent" if task == "reward" else "bootstrap over prompts"
    rows = []
    for name, value in plain.items():
        if name.endswith(("_low", "_high")):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if f"{name}_low" in plain:
            text += (
                f" (95 % interval {plain[f'{name}_low']:.4g} to {plain[f'{name}_high']:.4g}, {how})"
            )
        rows.append(f"- {name.replace('_', ' ')}: {text}")
    return rows


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in ("rulekit", "torch", "transformers"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
