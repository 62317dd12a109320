"""Questions in a terminal: one pair after the other, a key and Enter an answer, each on the disk at once.

A `rulekit.rating.Asking` comes in; `label --ask` calls this.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rulekit.cli.console import Voice
    from rulekit.rating import Asking


def ask(asking: Asking, voice: Voice) -> int:
    """Ask until q, the end of the input, or no question is left.

    Parameters
    ----------
    asking
        Who is asked what.
    voice
        Where questions are printed; --quiet does not silence them.

    Returns
    -------
    The number of answers of this session, those taken back not counted.
    """
    start = len(asking.own)
    keys = " · ".join(f"{key} {says}" for key, says in asking.keys.items()) + " · q quit"
    while asking.question is not None:
        print(_question(asking), file=sys.stderr)
        key = _key(f"{keys} > ")
        if key in ("q", ""):
            break
        if key not in asking.keys:
            print(f"{key!r:.20} is no key", file=sys.stderr)
            continue
        try:
            said = asking.answer(key)
        except ValueError as error:  # nothing to take back
            print(error, file=sys.stderr)
            continue
        voice.progress(f"{said}; saved")
        if (progress := asking.progress()) is not None:
            voice.progress(str(progress))
    return len(asking.own) - start


def _key(prompt: str) -> str:
    """The first word of a line; empty at the end of the input, `?` for an empty line."""
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return (line.strip().lower() or "?") if line else ""


def _question(asking: Asking) -> str:
    from rulekit.inputs import dialogue
    from rulekit.tables import visible

    width = min(100, shutil.get_terminal_size().columns)
    prompt, a, b = asking.texts()
    asked = asking.question
    texts = {"Prompt": dialogue(prompt), "Response A": a, "Response B": b}
    if asked.rule is not None:
        side = "A" if asked.response == asked.shown[0] else "B"
        texts[f"Is this true of response {side}?"] = asking.rules[asked.rule].text
    lines = [f"\n{'─' * width}"]
    for name, text in texts.items():
        lines.append(f"{name}:")
        for line in visible(text).splitlines():
            lines += textwrap.wrap(
                line, width - 2, initial_indent="  ", subsequent_indent="  "
            ) or [""]
    return "\n".join(lines)
