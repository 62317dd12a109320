"""Judges by name: `get(name, **settings)` gives one, `names()` and `options(name)` say what there is.

`recorded` replays the ratings that come with a data set; `encoder` rates any text offline; `local`
asks a causal language model on this machine, `server` one behind any OpenAI-compatible server.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path

from rulekit.judges.contract import Judge, Rater


def _folder_or_name(value: str | Path) -> str | Path:
    """A model that looks like a path must be a folder: the hub is not asked for it."""
    text = str(value)
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    if isinstance(value, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise ValueError(f"model: no such folder: {text}; allowed: a folder, or a name on the hub")
    return value


def _values_of(option: str) -> Callable:
    """Reads a mapping as the class of that name, `Limits` or `Prices`."""

    def read(value):
        from rulekit.judges.server import judge as server

        if not isinstance(value, Mapping):
            return value
        kind = getattr(server, option.capitalize())
        allowed = [f.name for f in fields(kind)]
        for given in value:
            if given not in allowed:
                raise ValueError(f"{option} has no {given!r}; allowed: {', '.join(allowed)}")
        return kind(**value)

    return read


@dataclass(frozen=True)
class _Entry:
    """Where a judge's class is, what makes one, what that needs, and how its options are read."""

    module: str
    name: str
    make: str = ""  # a class method; the class itself by default
    needs: tuple[str, ...] = ()
    reads: Mapping[str, Callable] = field(default_factory=dict)

    @property
    def judge(self) -> type:
        return getattr(import_module(f"rulekit.judges.{self.module}"), self.name)

    @property
    def maker(self) -> Callable:
        return getattr(self.judge, self.make) if self.make else self.judge


_JUDGES = {
    "encoder": _Entry("encoder", "EncoderJudge", "load"),
    "local": _Entry("local.judge", "LocalJudge", "load", ("model",), {"model": _folder_or_name}),
    "recorded": _Entry("recorded", "RecordedJudge"),
    "server": _Entry(
        "server.judge",
        "ServerJudge",
        needs=("model", "base_url"),
        reads={o: _values_of(o) for o in ("limits", "prices")},
    ),
}


def names() -> list[str]:
    """The names that `get` takes."""
    return list(_JUDGES)


def options(name: str) -> list[str]:
    """The settings that the judge of this name takes, the needed ones first.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in _JUDGES:
        raise ValueError(f"unknown judge {name!r}; allowed: {', '.join(_JUDGES)}")
    parameters = inspect.signature(_JUDGES[name].maker).parameters.values()
    taken = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    if len(taken) < len(parameters):  # what is left over goes to the class
        of_class = inspect.signature(_JUDGES[name].judge).parameters.values()
        taken += [p.name for p in of_class if p.default is not p.empty and p.name not in taken]
    return taken


def get(name: str, source: str = "embedded", **settings) -> Judge:
    """The judge of this name.

    Parameters
    ----------
    name
        One of `names()`.
    source
        The data set whose ratings `recorded` replays; the others do not look at it.
    settings
        As `options(name)` lists them. For ``local`` what `LocalJudge.load` takes, `model` at
        least; for ``server`` what `ServerJudge` takes, `model` and `base_url` at least, where
        `limits` and `prices` may be mappings.

    Raises
    ------
    ValueError
        For an unknown name, or settings that the judge does not take or lacks.
    """
    allowed = options(name)
    entry = _JUDGES[name]
    for given in settings:
        if given not in allowed:
            listed = ", ".join(allowed) or "none"
            raise ValueError(f"judge {name!r} has no option {given!r}; allowed: {listed}")
    if lacking := [n for n in entry.needs if settings.get(n) in (None, "")]:
        raise ValueError(
            f"judge {name!r} needs {' and '.join(lacking)}; allowed: {', '.join(allowed)}"
        )
    if "source" in allowed:
        settings["source"] = source
    settings |= {n: read(settings[n]) for n, read in entry.reads.items() if n in settings}
    return entry.maker(**settings)


def judge_named(name: str, **options) -> Rater:
    """The judge of this name, if it rates single responses, as `annotate` needs it; as `get`.

    Raises
    ------
    ValueError
        For an unknown name or option, or a judge that cannot rate single responses.
    """
    judge = get(name, **options)
    if not hasattr(judge, "rate"):
        raise ValueError(f"judge {name!r} replays pairs; allowed: one that rates any response")
    return judge
