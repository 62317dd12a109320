"""Judges by name: `judge(name, **settings)` gives one; `names()` and `options(name)` say what there is.

`recorded` replays the ratings that come with a data set; `encoder` rates any text offline; `local`
asks a causal language model on this machine, `server` one behind any OpenAI-compatible server.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pkgutil import resolve_name

from rulekit.judges.contract import Judge

_JUDGES = {  # where what makes one is; its parameters are the judge's options
    "encoder": "encoder:EncoderJudge.load",
    "local": "local.judge:LocalJudge.load",
    "recorded": "recorded:RecordedJudge",
    "server": "server.judge:ServerJudge",
}


def names() -> list[str]:
    """The names that `judge` takes."""
    return list(_JUDGES)


def options(name: str) -> list[str]:
    """The settings that the judge of this name takes, the needed ones first.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    return list(inspect.signature(_maker(name)).parameters)


def judge(name: str, **settings) -> Judge:
    """The judge of this name.

    Parameters
    ----------
    name
        One of `names()`.
    settings
        As `options(name)` lists them: for ``local`` what `LocalJudge.load` takes, `model` at least;
        for ``server`` what `ServerJudge` takes, `model` and `base_url` at least, where `limits`
        and `prices` may be mappings; for ``recorded`` the `source`.

    Raises
    ------
    ValueError
        For an unknown name, or settings that the judge does not take or lacks.
    """
    check_options(name, settings)
    return _maker(name)(**settings)


def check_options(name: str, settings: Mapping[str, object]) -> None:
    """Refuse settings that the judge of this name does not take, and the lack of one that it needs.

    Parameters
    ----------
    name, settings
        As for `judge`.

    Raises
    ------
    ValueError
        Naming the option, and what is allowed.
    """
    takes = inspect.signature(_maker(name)).parameters
    for given in settings:
        if given not in takes:
            listed = ", ".join(takes) or "none"
            raise ValueError(f"judge {name!r} has no option {given!r}; allowed: {listed}")
    needed = [n for n, parameter in takes.items() if parameter.default is parameter.empty]
    if lacking := [n for n in needed if settings.get(n) in (None, "")]:
        raise ValueError(
            f"judge {name!r} needs {' and '.join(lacking)}; allowed: {', '.join(takes)}"
        )


def _maker(name: str):
    if name not in _JUDGES:
        raise ValueError(f"unknown judge {name!r}; allowed: {', '.join(_JUDGES)}")
    return resolve_name(f"rulekit.judges.{_JUDGES[name]}")
