"""How a chart shows itself: a chart comes in, a PNG with its words goes out.

A PNG is what every viewer of notebooks shows: JupyterLab with and without a kernel, trusted or not,
nbconvert, GitHub. Importing `rulekit.plots` makes it the renderer of Altair, for charts of the
kit and others alike.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import altair as alt
from altair.utils.mimebundle import spec_to_mimebundle

from rulekit.tables import visible

_DENSITY = 144  # pixels an inch: two for each of the 72 that the page counts
_CHANNELS = {"x": "across", "y": "upwards", "color": "colour"}


def as_png(spec: dict) -> tuple[dict, dict]:
    """A chart's specification as a notebook's output: a sharp PNG, and what is on it in words.

    Parameters
    ----------
    spec
        Vega-Lite specification.

    Returns
    -------
    Data by MIME type, and metadata: ``width`` and ``height`` on the page, and ``alt``.
    """
    spec = _drawable(spec)
    data, metadata = spec_to_mimebundle(spec, format="png", mode="vega-lite", ppi=_DENSITY)
    words = described(spec)
    metadata["image/png"]["alt"] = words
    return {"image/png": _packed(data["image/png"]), "text/plain": words}, metadata


def described(spec: dict) -> str:
    """The alternative text of a chart: of each picture its title, and its words or else its axes.

    Parameters
    ----------
    spec
        Vega-Lite specification; its description is what a chart says of itself.
    """
    said = " ".join(dict.fromkeys(_said(spec)))
    return f"Chart: {said}" if said else "Chart"


def _said(spec: dict) -> Iterator[str]:
    if title := _words(spec.get("title")):
        yield f"{title}."
    if spec.get("description"):
        yield spec["description"]
        return
    axes = {_CHANNELS[c]: e for c, e in spec.get("encoding", {}).items() if c in _CHANNELS}
    named = {axis: _words(e.get("title")) or e.get("field") for axis, e in axes.items()}
    if said := "; ".join(f"{axis}: {name}" for axis, name in named.items() if name):
        yield f"{said}."
    for name in ("layer", "hconcat", "vconcat", "concat"):
        for part in spec.get(name, ()):
            yield from _said(part)
    if isinstance(spec.get("spec"), dict):
        yield from _said(spec["spec"])


def _words(title: object) -> str:
    """A title as one line; it comes as a text, as lines, or with its looks."""
    if isinstance(title, dict):
        title = title.get("text")
    return " ".join(title if isinstance(title, list) else [title]) if title else ""


def _drawable(value: object) -> object:
    """The same with every text as `visible` shows it: a control character ends the converter."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(k): _drawable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_drawable(v) for v in value]
    return value


def _packed(png: bytes) -> bytes:
    """The same picture in about a quarter of the bytes: the converter packs it in haste."""
    parts, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        parts.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    pixels = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    before = [part for part in parts if part[0] not in (b"IDAT", b"IEND")]
    kept = [*before, (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in kept
    )
    return png[:8] + b"".join(chunks)


alt.renderers.register("rulekit", as_png)
alt.renderers.enable("rulekit")
