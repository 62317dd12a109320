"""The annotation desk: keys and buttons answer, `rulekit.rating.Asking` has each answer on the disk."""

from __future__ import annotations

import getpass
from pathlib import Path

import anywidget
import ipywidgets
import polars as pl
import traitlets

from rulekit.inputs import RuleSet, Scores
from rulekit.rating import Asking
from rulekit.workbench.annotation_desk import (
    desk_data,
    desk_picture,
    desk_state,
    progress_html,
    question_html,
)
from rulekit.workbench.controls import Tool, debounced

_HERE = Path(__file__).parent


class KeyDesk(anywidget.AnyWidget):
    """A question, its texts, a button and a key an answer, and a line for what was done.

    A message ``{"key": "a", "asked": id}`` says which key was pressed at which question; `on_key`
    takes a function of both.

    `choices` are a list of [key, words]. `shown` has ``question``, HTML of what is asked; ``asked``,
    its id; and ``said``, what was done last, which screen readers read out.
    """

    _esm = _HERE / "desk.js"
    _css = _HERE / "desk.css"
    choices = traitlets.List().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)

    def on_key(self, act) -> None:
        """Call a function of the key and the id of the question at which it was pressed."""
        self.on_msg(lambda _, content, __: act(content.get("key"), content.get("asked")))


class AnnotationDesk(Tool):
    """The annotation desk, as `desk` makes it.

    Parameters
    ----------
    asking
        Who is asked what.
    """

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        super().__init__(desk_state(asking))

    def data(self) -> dict[str, object]:
        """The question, answers, counts, progress and agreement: see `desk_data`."""
        return desk_data(self.asking)

    def picture(self) -> list[object]:
        """The question with its texts, and what answers have brought."""
        return desk_picture(self.asking)

    def press(self, key: str) -> None:
        """Answer the question that is shown; the answer is on the disk when this returns.

        Parameters
        ----------
        key
            One of `Asking.keys`: a, b, x, s and u for pairs.

        Raises
        ------
        ValueError
            For another key, nothing to take back, or no question left.
        """
        said = self.asking.answer(key)
        self.state = desk_state(self.asking, said)
        if self._controls is not None:
            self.redraw()

    def controls(self) -> ipywidgets.Widget:
        """The question with its keys, and below it what answers have brought."""
        self._desk = KeyDesk(choices=[list(pair) for pair in self.asking.keys.items()])
        self._desk.on_key(self.on(self._pressed))
        self._progress = ipywidgets.HTML()
        self._later = debounced(self.on(self._tell), 0.05)
        return ipywidgets.VBox([self._desk, self._progress])

    def redraw(self) -> None:
        """Show the question at once, and then what answers have brought, which takes longer."""
        state = self.state
        about = {"asked": self._asked(), "question": question_html(self.asking)}
        saved = f"{state.answered} saved in {self.asking.path}"
        self._desk.shown = {**about, "said": f"{state.said} · {saved}".lstrip(" ·")}
        self._later()

    def _tell(self) -> None:
        self._progress.value = f'<div class="rulekit-progress">{progress_html(self.asking)}</div>'

    def _pressed(self, key: str, asked: str) -> None:
        if asked != self._asked():
            raise ValueError(
                "that key came before the question was shown; nothing was saved for it"
            )
        self.press(key)

    def _asked(self) -> str:
        asked = self.asking.question
        place = f"{asked.pair_id} {asked.response} {asked.rule}" if asked else ""
        return f"{len(self.asking.own)} {place}"


def desk(
    pairs: pl.DataFrame,
    rules: RuleSet | None = None,
    scores: Scores | None = None,
    *,
    path: str | Path = "labels.jsonl",
    person: str = "",
    check: bool = False,
    seed: int = 0,
) -> AnnotationDesk:
    """Label pairs by hand, or check ratings: a key an answer, each on the disk before the next pair.

    Parameters
    ----------
    pairs
        Canonical frame. Known preferences are not looked at, and which response is called A goes by
        chance.
    rules
        Rules of the scores; needed to check ratings.
    scores
        Of these pairs: the desk then asks for the pair that teaches most about the rules, and says
        how often labels are right by now.
    path
        File of the answers, a line each, which only grows. Several people may answer into one file;
        `rulekit.inputs.add_preferences` reads it.
    person
        Who answers; empty: the name of the user of this machine.
    check
        Ask whether a response satisfies a rule (y, n, i for irrelevant), in place of which response
        is better (a, b, x for a tie or cannot tell). s skips, u takes the last answer back.
    seed
        Of the choice among equals.

    Returns
    -------
    The desk; ``.state``, ``.data()``, ``.picture()`` and ``.press(key)`` need no front end.

    Raises
    ------
    ValueError
        As of `rulekit.rating.Asking`.
    """
    person = person or getpass.getuser()
    asked = {"path": path, "person": person, "rules": rules, "check": check, "seed": seed}
    return AnnotationDesk(Asking(pairs, scores, **asked))
