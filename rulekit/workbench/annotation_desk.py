"""The annotation desk without its keys: what is asked and what answers have brought, as data and HTML.

A `rulekit.rating.Asking` comes in, which has all answers on the disk; `annotation_desk_widget` puts
keys to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from IPython.display import HTML

from rulekit.rating import Asking
from rulekit.tables import responses, table, text_html


@dataclass(frozen=True)
class DeskState:
    """What the desk shows.

    Attributes
    ----------
    pair
        Id of the pair that is asked about; empty: none is left.
    answered
        Questions that this person has answered or skipped.
    said
        What was done last, in words.
    """

    pair: str = ""
    answered: int = 0
    said: str = ""


def desk_state(asking: Asking, said: str = "") -> DeskState:
    """The state that follows from the file of answers.

    Parameters
    ----------
    asking
        Who is asked what.
    said
        What was done last.
    """
    asked = asking.question
    return DeskState(asked.pair_id if asked else "", len(asking.own), said)


def question_html(asking: Asking) -> str:
    """The question that is asked now, with its texts.

    Parameters
    ----------
    asking
        Who is asked what.
    """
    asked = asking.question
    if asked is None:
        return "<p>Every question has been answered or skipped.</p>"
    pair = responses(*asking.texts())._repr_html_()
    if asked.rule is None:
        return f"<p><b>Which response is better?</b></p>{pair}"
    side = "A" if asked.response == asked.shown[0] else "B"
    rule = text_html(asking.rules[asked.rule].text)
    return f"<p><b>Is this true of response {side}?</b> {rule}</p>{pair}"


def desk_data(asking: Asking) -> dict[str, object]:
    """What is asked, answered and learned.

    Parameters
    ----------
    asking
        Who is asked what.

    Returns
    -------
    ``question``, a `rulekit.rating.Question` or None; ``answers`` of all people; ``counts`` a person;
    ``progress``, a `rulekit.selection.Progress` or None; ``agreement``, κ and α.
    """
    counts = asking.answers.group_by("person", maintain_order=True).agg(
        answered=pl.col("preference").is_not_null().sum() + pl.col("verdict").is_not_null().sum(),
        skipped=(pl.col("preference").is_null() & pl.col("verdict").is_null()).sum(),
    )
    return {
        "question": asking.question,
        "answers": asking.answers,
        "counts": counts,
        "progress": asking.progress(),
        "agreement": asking.agreement(),
    }


def progress_html(asking: Asking) -> str:
    """Labels so far, gain so far, what the next ten would add; and how far people agree.

    Parameters
    ----------
    asking
        Who is asked what.
    """
    data = desk_data(asking)
    lines = []
    if data["progress"] is not None:
        lines.append(str(data["progress"]))
    elif not asking.check:
        lines.append(
            "Without scores of the pairs nothing is said about labels, and any pair is asked."
        )
    people = [
        f"{row['person']} {row['answered']} answered, {row['skipped']} skipped"
        for row in data["counts"].iter_rows(named=True)
    ]
    lines.append("; ".join(people) or "nobody has answered yet")
    said = "".join(f"<p>{text_html(line)}</p>" for line in lines)
    if data["agreement"].is_empty():
        return said
    shown = table(data["agreement"], "Agreement beyond chance", note="1 is full, 0 is chance")
    return said + shown._repr_html_()


def desk_picture(asking: Asking) -> list[object]:
    """What a page without a kernel shows: the question, and what answers have brought.

    Parameters
    ----------
    asking
        Who is asked what.
    """
    return [HTML(question_html(asking)), HTML(progress_html(asking))]
