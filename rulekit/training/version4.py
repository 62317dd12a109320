"""What transformers 4, and what is built on it such as vLLM, reads under another name than version 5 writes.

A folder comes in that `save_pretrained` of version 5 has written; its two JSON files then say the same
to both versions. `models` calls it for every model that is saved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rulekit.files import write_json

# Classes of version 5 that stand for any tokenizer with a tokenizer.json.
_NEW_CLASSES = ("TokenizersBackend",)
_LAYERS = ("full_attention", "sliding_attention")


def name_for_version4(folder: str | Path, inputs: Sequence[str]) -> None:
    """Add to ``config.json`` and ``tokenizer_config.json`` what version 4 looks for.

    Without it version 4 takes a rotary base of 10,000 unscaled, so that every reward differs, and
    does not find the tokenizer's class.

    Parameters
    ----------
    folder
        With a saved model and its tokenizer.
    inputs
        What the tokenizer gives to the model; version 4 would add ``token_type_ids``, which
        decoders refuse.
    """
    for name, added in (("config.json", _model), ("tokenizer_config.json", _tokenizer)):
        path = Path(folder) / name
        said = added(json.loads(path.read_text(encoding="utf-8")))
        if added is _tokenizer:
            said["model_input_names"] = list(inputs)
        write_json(path, said)


def _model(config: dict) -> dict:
    """Rotary embedding and type of the weights under the old names too."""
    if "dtype" in config:
        config["torch_dtype"] = config["dtype"]
    rotary = config.get("rope_parameters") or {}
    if set(_LAYERS) <= set(rotary):  # a base for each kind of layer
        config["rope_local_base_freq"] = rotary[_LAYERS[1]]["rope_theta"]
        rotary = rotary[_LAYERS[0]]
    if "rope_theta" not in rotary:
        return config
    config["rope_theta"] = rotary["rope_theta"]
    if "partial_rotary_factor" in rotary:
        config["partial_rotary_factor"] = rotary["partial_rotary_factor"]
    apart = ("rope_theta", "partial_rotary_factor")
    scaling = {key: value for key, value in rotary.items() if key not in apart}
    scaled = scaling.get("rope_type", "default") != "default"
    config["rope_scaling"] = scaling if scaled else None
    return config


def _tokenizer(config: dict) -> dict:
    """A class that both versions know, and further special tokens under the old name."""
    if config.get("tokenizer_class") in _NEW_CLASSES:
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    return config
