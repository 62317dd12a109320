"""What the explorers show of one pair or rule as HTML: frames come in, escaped HTML goes out.

Rules with their bars are an element of the page and no picture, so that texts can be read aloud,
marked and searched for, and a moved slider redraws them at once.
"""

from __future__ import annotations

from html import escape

import polars as pl
from IPython.display import HTML

from rulekit.inputs import prompt_text
from rulekit.labels import Labels
from rulekit.plots.looks import BLUE
from rulekit.studies import preferred
from rulekit.tables import responses, table, text_html

_LINE = "1px solid rgba(128, 128, 128, .35)"
_OTHER = "rgba(128, 134, 145, .75)"  # bars of rules that are not chosen, on white and on black
_CELL = "padding: 2px 8px; vertical-align: top; text-align: left"


def label_words(labels: Labels, row: int = 0) -> str:
    """A label with its confidence and margin in words.

    Parameters
    ----------
    labels
        Of n_pairs pairs.
    row
        Which of them.
    """
    margin = _signed(labels.margin[row])
    said = preferred(int(labels.preference[row]))
    return f"{said}, confidence {labels.confidence[row]:.1%}, margin {margin}"


def _signed(value: float) -> str:
    return "0" if abs(value) < 0.005 else f"{value:+.2f}".replace("-", "−")


def pair_view(pair: dict, label: str) -> HTML:
    """A pair with what differs marked, and its label beside the known preference.

    Parameters
    ----------
    pair
        Row of a canonical frame.
    label
        From `label_words`.
    """
    return responses(
        prompt_text(pair["prompt"]),
        pair["response_a"],
        pair["response_b"],
        label=label,
        known=preferred(pair["preference"]),
        differences=True,
    )


def rule_bars(frame: pl.DataFrame, caption: str) -> str:
    """Rules of one pair with their discrepancies as bars; the chosen ones have a mark and a colour.

    Parameters
    ----------
    frame
        Columns rule, text, discrepancy in [-2, 2], chosen (bool).
    caption
        What they are of.
    """
    reach = max(1.0, frame["discrepancy"].abs().max() or 0.0)
    rows = []
    for row in frame.iter_rows(named=True):
        mark = "●" if row["chosen"] else ""
        said = f' aria-label="{"chosen" if row["chosen"] else "not chosen"}"'
        weight = "font-weight: bold; " if row["chosen"] else ""
        figure = _signed(row["discrepancy"])
        rows.append(
            f'<tr data-rule="{escape(row["rule"], quote=True)}" '
            f'data-chosen="{"yes" if row["chosen"] else "no"}" style="border-bottom: {_LINE}">'
            f'<td style="{_CELL}; color: inherit"{said}>{mark}</td>'
            f'<th scope="row" style="{_CELL}; {weight}">{text_html(row["rule"])}</th>'
            f'<td style="{_CELL}">{_bar(row["discrepancy"] / reach, row["chosen"])}</td>'
            f'<td style="{_CELL}; text-align: right; white-space: nowrap; '
            f'font-variant-numeric: tabular-nums">{figure}</td>'
            f'<td style="{_CELL}">{text_html(row["text"]) if row["text"] else ""}</td></tr>'
        )
    heads = ("chosen", "rule", "← for B · δ · for A →", "δ", "its text")
    head = "".join(f'<th scope="col" style="{_CELL}">{h}</th>' for h in heads)
    return (
        '<div class="rulekit-bars" tabindex="0" data-lm-suppress-shortcuts="true" role="region" aria-label="rules of this pair" '
        f'style="max-height: 420px; overflow: auto; border: {_LINE}; border-radius: 4px">'
        '<table style="border-collapse: collapse; margin: 0; font-size: 13px; line-height: 1.4">'
        f'<caption style="text-align: left; padding: 4px 8px; font-weight: bold; caption-side: top; '
        f'color: inherit">{text_html(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(share: float, chosen: bool) -> str:
    """A bar from the middle, to the right for A, to the left for B."""
    left = 50 + 50 * min(share, 0.0)
    color = BLUE if chosen else _OTHER
    return (
        '<div style="position: relative; width: 180px; height: 14px; margin-top: 3px">'
        '<div style="position: absolute; left: 50%; top: -3px; bottom: -3px; width: 1px; '
        'background: currentColor"></div>'
        f'<div class="rulekit-bar" style="position: absolute; left: {left:.1f}%; '
        f'width: {50 * abs(share):.1f}%; top: 0; bottom: 0; background: {color}"></div></div>'
    )


def moves_view(moves: dict, shown: int = 20) -> str:
    """What moved when edited responses were rated: labels before and after, and rules.

    Parameters
    ----------
    moves
        From `PairTable.rated_again`.
    shown
        Rules at most.
    """
    labels = (
        f"<p>Before: <b>{text_html(label_words(moves['before']))}</b><br>"
        f"After: <b>{text_html(label_words(moves['after']))}</b></p>"
    )
    rows = moves["rules"].head(shown)
    note = (
        f"{shown} of {len(moves['rules'])} rules, those that moved most."
        if len(rows) == shown
        else ""
    )
    made = table(rows, "What moves, by rule", note=note, signed=["before", "after", "moved"])
    return labels + made._repr_html_()
