"""The model card: what a trained folder says about itself to whoever loads it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rulekit.training.config import TrainingConfig

_USE = """\
```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
inputs = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
with torch.inference_mode():
    logits = model(**inputs).logits  # (1, N_LABELS)
```
"""


def write_card(
    folder: str | Path,
    config: TrainingConfig,
    *,
    metrics: dict,
    n_train: int,
    left_out: dict[str, int],
    provenance: dict,
    n_labels: int,
) -> Path:
    """Write ``README.md`` with data, rule set, label method, metrics with intervals and limits.

    Parameters
    ----------
    folder
        Of the model.
    config
        Settings of the run.
    metrics
        Held-out measures; empty if nothing was held out.
    n_train, left_out
        Examples trained on; reason → pairs that were not.
    provenance
        Whatever is known of the data: `data_sha256`, `rule_set`, `label_method`, `data` and more.
    n_labels
        Logits of the model.
    """
    kind = "reward model" if config.task == "reward" else "Rule Adapter"
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags: [rulekit, " + ("reward-model]" if config.task == "reward" else "rule-adapter]"),
        "---",
        "",
        f"# {kind[0].upper()}{kind[1:]} from `{config.model}`",
        "",
        _PURPOSE[config.task],
        "",
        _USE.replace("N_LABELS", str(n_labels)),
        "## Data",
        "",
    ]
    told = {
        "data": "not stated",
        "data_sha256": "not stated",
        "rule_set": "not stated",
        "label_method": "not stated",
        **provenance,
    }
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in told.items()]
    lines.append(f"- {n_train} pairs trained on")
    lines += [f"- {n} pairs left out: {reason}" for reason, n in left_out.items()]
    lines += ["", "## Held-out measures", "", *_measures(metrics), "", "## Settings", ""]
    lines += [f"- {name}: `{value}`" for name, value in config.model_dump().items()]
    lines += ["", "## Limits", "", _LIMITS[config.task], "", "## Made with", "", _versions(), ""]
    path = Path(folder) / "README.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


_PURPOSE = {
    "reward": "Gives one reward for a response behind its conversation. Only differences between "
    "responses to the same prompt mean anything.",
    "adapter": "Names the rules on which two responses to a prompt differ most: one logit a rule. "
    "Both responses, in alphabetical order, stand in one assistant message.",
}
_LIMITS = {
    "reward": "A reward model repeats the mistakes of its labels, prefers what resembles its "
    "training data, and can be exploited by a policy that is optimised against it. It is no judge "
    "of truth. Texts longer than `max_tokens` were cut on the left behind the first token; do the "
    "same, or expect other rewards.",
    "adapter": "It knows the rules it was trained on, by position. It says where responses differ, "
    "not which of them is better.",
}


def _measures(metrics: dict) -> list[str]:
    if not metrics:
        return ["None: nothing was held out."]
    plain = {name.removeprefix("eval_"): value for name, value in metrics.items()}
    rows = []
    for name, value in plain.items():
        if name.endswith(("_low", "_high")):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if f"{name}_low" in plain:
            text += f" (95 % interval {plain[f'{name}_low']:.4g} to {plain[f'{name}_high']:.4g}, pairs taken as independent)"  # fmt: skip
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
