"""Tables and texts for people: frames and texts come in, HTML goes out, every text escaped.

`table` shows a frame, `responses` the two responses of a pair, `in_markdown` a text in a sentence. `RuleSet`, `Scores`, `Selection`,
`Labels` and `Estimates` show themselves through `html_table`. Notebooks call the first two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    from great_tables import GT
    from IPython.display import HTML

SHOWN = 6  # rows of a table before it says how many more there are
_LOOKED_AT = 10_000

# No notebook, and no page made of one, may take `$…$` in a text for mathematics.
_PLAIN = "tex2jax_ignore mathjax_ignore"
# Control characters; and those that turn the direction of what follows, outside of their own text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# Where a long word may be broken: behind the signs that join its parts, as in an id or an address;
# a part that is longer than any word of a language anywhere, but not between a letter and its mark.
_LONG, _LONGEST = re.compile(r"\S{17,}"), 24
_JOINT = re.compile(r"(?<=[^\W_])[-_/.:]+(?=[^\W_])")
_LETTERS = re.compile(r"\S{16}(?=[^\s\u0300-\u036f\u200d\ufe00-\ufe0f])")
_LINE = "rgba(128, 128, 128, .35)"  # seen on white and on black
_TINT = "rgba(0, 114, 178, .16)"
_MARK = f"background: {_TINT}; color: inherit; text-decoration: underline"


def visible(text: object) -> str:
    """A text without characters that act instead of being shown.

    Control characters, such as the escape that begins an ANSI code, become their pictures (␛);
    those that turn the direction of writing become their code point. All else stays as it is.
    """
    return _CONTROL.sub(_picture, str(text).replace("\r\n", "\n"))


def _picture(found: re.Match) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def text_html(text: object) -> str:
    """A text as HTML that shows it as it is: no markup, no mathematics, its direction its own.

    A long word may be broken where its parts are joined, one without parts anywhere: by elements and
    not by style, which some viewers take out.
    """
    text = visible(text)
    if not text.strip():
        return '<i style="opacity: 0.65">(empty)</i>'
    return f'<bdi class="{_PLAIN}">{_broken(text)}</bdi>'


def _broken(text: str) -> str:
    """A visible text, escaped, with places where long words may be broken."""
    return "<wbr>".join(map(escape, _LONG.sub(_parts, text).split("\0")))


def _parts(word: re.Match) -> str:
    parts = _JOINT.sub(r"\g<0>\0", word[0]).split("\0")
    return "\0".join(_LETTERS.sub(r"\g<0>\0", p) if len(p) > _LONGEST else p for p in parts)


def in_markdown(text: object) -> str:
    """A text for a place in Markdown, such as a rule's in a sentence: it stays as it is, in a line."""
    line = " ".join(visible(text).split())
    return re.sub(r"(?<=>)[^<]+(?=<)", _encoded, text_html(line))


def _encoded(found: re.Match) -> str:
    """Letters that Markdown or mathematics would take for their own, as numbers."""
    return re.sub(r"[\\`*_{}\[\]()~|!$^:/@.-]", lambda sign: f"&#{ord(sign[0])};", found[0])


def table(
    frame: pl.DataFrame,
    title: str = "",
    *,
    note: str = "",
    names: Mapping[str, str] | None = None,
    percent: Sequence[str] = (),
    digits: int = 3,
    signed: Sequence[str] = (),
    mark: pl.Expr | None = None,
) -> GT:
    """A frame as a table made for reading, which shows itself in a notebook.

    Numbers of a column have the same decimals, texts wrap and are shown as they are, a missing
    value is a dash. A table wider than the page scrolls in a box of its own.

    Parameters
    ----------
    frame
        The rows to show, all of them; columns that are not to be shown are left out of it.
    title
        What the table shows, or the finding.
    note
        A line below it: units, where the figures come from.
    names
        Headings of columns; the others keep their name, with spaces for underscores.
    percent
        Columns of shares in [0, 1] that are shown as percentages.
    digits
        Digits of the largest number of a column, 1 to 15; the others have as many decimals.
    signed
        Columns whose positive numbers have a plus sign.
    mark
        Boolean expression over the frame: the rows that matter, shown bold on a tint.

    Raises
    ------
    ValueError
        If names, percent or signed name a column that there is not, or digits is out of range.
    """
    import polars as pl
    from great_tables import GT, html, loc, style

    _check_columns(frame, {"names": names or {}, "percent": percent, "signed": signed})
    if not 1 <= digits <= 15:
        raise ValueError(f"digits is {digits!r}; allowed: 1 to 15")
    marked = [] if mark is None else frame.select(mark.fill_null(False).arg_true()).to_series()
    kinds = frame.schema
    numbers = [c for c in frame.columns if kinds[c].is_numeric()]
    texts = [c for c in frame.columns if c not in numbers]
    shown = frame.with_columns(
        *(pl.col(c).cast(pl.Float64).fill_nan(None) for c in numbers if not kinds[c].is_integer()),
        *(pl.Series(c, [_text(v) for v in frame[c]], dtype=pl.String) for c in texts),
    )
    headings = {c: (names or {}).get(c, c.replace("_", " ")) for c in frame.columns}
    key = sha256(f"{title}\n{note}\n{shown.write_json()}".encode()).hexdigest()[:10]
    made = GT(shown, id=f"rk-{key}").cols_label(
        {c: html(text_html(name) if name else "") for c, name in headings.items()}
    )
    for column in numbers:
        made = _formatted(made, shown[column], column in percent, column in signed, digits)
    if texts:
        made = made.fmt(text_html, columns=texts).cols_align("left", columns=texts)
    if numbers:
        made = made.cols_align("right", columns=numbers)
        made = made.tab_style(style.css("white-space: nowrap;"), loc.body(columns=numbers))
    made = made.sub_missing(missing_text="–")
    left = style.css("text-align: left; white-space: pre-wrap;")  # where style sheets are taken out
    if texts:
        made = made.tab_style(left, [loc.body(columns=texts), loc.column_labels(columns=texts)])
    if len(marked):
        look = [style.text(weight="bold"), style.css(f"background: {_TINT}")]
        made = made.tab_style(look, loc.body(rows=list(marked)))
    if title:
        made = made.tab_header(html(text_html(title))).tab_style(
            [left, style.text(weight="bold")], loc.title()
        )
    if note:
        made = made.tab_source_note(html(text_html(note))).tab_style(left, loc.source_notes())
    return _plain_looks(made, f"#rk-{key}")


def _check_columns(frame: pl.DataFrame, given: Mapping[str, Iterable[str]]) -> None:
    for name, columns in given.items():
        for column in columns:
            if column not in frame.columns:
                raise ValueError(
                    f"{name} has {column!r}, which is no column; allowed: {', '.join(frame.columns)}"
                )


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "__iter__"):
        return ", ".join(map(str, value))
    return str(value)


def _formatted(made: GT, values: pl.Series, percent: bool, signed: bool, digits: int) -> GT:
    settings = {"columns": values.name, "force_sign": signed}
    if percent:
        return made.fmt_percent(decimals=max(0, digits - 2), incl_space=True, **settings)
    if values.dtype.is_integer():
        return made.fmt_integer(**settings)
    finite = values.drop_nulls().abs()
    most = finite.filter(finite.is_finite()).max() or 0.0
    whole = math.floor(math.log10(most)) + 1 if most >= 1e-12 else 1
    return made.fmt_number(decimals=min(12, max(0, digits - whole)), **settings)


def _plain_looks(made: GT, at: str) -> GT:
    """Lines and tints that stand on a light and on a dark page; colour and font are the page's."""
    inherited = f"{at} table, {at} tr, {at} td, {at} th"
    css = [
        f"{at} {{ max-width: 100%; overflow-x: auto !important; }}",
        f"{inherited} {{ color: inherit !important; font-family: inherit !important; }}",
        f"{at} table, {at} tr, {at} thead, {at} tfoot, {at} .gt_heading, {at} .gt_col_heading, "
        f"{at} .gt_sourcenotes {{ background-color: transparent !important; }}",
        f"{at} .gt_col_heading {{ font-weight: bold; white-space: normal; }}",
        f"{at} .gt_row {{ vertical-align: top; }}",
        f"{at} .gt_heading, {at} .gt_sourcenote {{ text-align: left; }}",
        f"{at} .gt_sourcenote {{ opacity: .8; }}",
        f"@media print {{ {at} {{ overflow: visible !important; }} }}",
    ]
    return made.tab_options(
        container_overflow_x="auto",
        container_overflow_y="hidden",
        heading_align="left",
        heading_title_font_size="15px",
        heading_title_font_weight="bold",
        heading_border_bottom_style="none",
        table_font_size="14px",
        table_margin_left="0px",
        table_margin_right="auto",
        table_border_top_style="none",
        table_border_bottom_color=_LINE,
        table_body_border_top_color=_LINE,
        table_body_border_bottom_color=_LINE,
        table_body_hlines_color=_LINE,
        column_labels_border_top_color=_LINE,
        column_labels_border_bottom_color=_LINE,
        source_notes_font_size="12px",
        table_additional_css=css,
    )


def responses(
    prompt: str | Sequence[Mapping[str, str]],
    a: str,
    b: str,
    *,
    label: str = "",
    known: str = "",
    differences: bool = False,
) -> HTML:
    """Both responses of a pair side by side, below their prompt; on a phone one below the other.

    Parameters
    ----------
    prompt
        A text, or messages with role and content.
    a, b
        Texts of the responses, shown as they are.
    label
        In words what the rules say, such as ``B is preferred``; optional.
    known
        In words what is known, in the same way; optional.
    differences
        Underline and tint the words of each response that the other has not at that place.
    """
    from IPython.display import HTML

    if not isinstance(prompt, str):
        prompt = "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in prompt)
    texts = _differing(a, b) if differences else (text_html(a), text_html(b))
    sides = "".join(
        _boxed(f"Response {n}", t, "flex: 1 1 260px; ") for n, t in zip("AB", texts, strict=True)
    )
    said = [("Label from the rules", label), ("Known preference", known)]
    verdict = " · ".join(f"{name}: <b>{text_html(words)}</b>" for name, words in said if words)
    line = f'<div style="margin-top: 8px">{verdict}</div>' if verdict else ""
    return HTML(
        '<div class="rulekit-pair" style="max-width: 100%; font-size: 14px; line-height: 1.45">'
        f'{_boxed("Prompt", text_html(prompt))}<div style="display: flex; flex-wrap: wrap; gap: 8px; '
        f'margin-top: 8px">{sides}</div>{line}</div>'
    )


def _differing(a: str, b: str) -> tuple[str, str]:
    """Both texts as HTML, words marked that only one of them has at a place."""
    words = [re.findall(r"\s*\S+|\s+$", visible(text)) for text in (a, b)]
    match = SequenceMatcher(None, *([w.strip() for w in side] for side in words))
    found: tuple[list[str], list[str]] = ([], [])
    for kind, i, j, m, n in match.get_opcodes():
        for parts, side, (first, last) in zip(found, words, ((i, j), (m, n)), strict=True):
            html = _broken("".join(side[first:last]))
            marked = kind != "equal" and html.strip()
            parts.append(f'<mark style="{_MARK}">{html}</mark>' if marked else html)
    return tuple(f'<bdi class="{_PLAIN}">{"".join(parts)}</bdi>' for parts in found)


def _boxed(title: str, html: str, css: str = "") -> str:
    return (
        f'<div style="{css}min-width: 0; max-width: 100%; box-sizing: border-box; padding: 8px 12px; '
        f'border: 1px solid {_LINE}; border-radius: 6px"><div style="font-weight: bold; '
        f'margin-bottom: 4px">{title}</div><div dir="auto" style="white-space: pre-wrap; '
        f'max-height: 480px; overflow-y: auto">'
        f"{html}</div></div>"
    )


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], n_rows: int
) -> str:
    """A table as HTML, every text escaped.

    Parameters
    ----------
    caption
        What the table shows.
    head
        Names of the columns.
    rows
        The rows to show, a value a column.
    n_rows
        Rows that there are; those not shown are counted in a last line.
    """
    rows = [[text_html(value) for value in row] for row in rows]
    cell = '<td style="text-align: left">'
    body = [f"<tr>{''.join(f'{cell}{value}</td>' for value in row)}</tr>" for row in rows]
    if n_rows > len(rows):
        body.append(f'<tr><td colspan="{len(head)}">… {n_rows - len(rows):,} more</td></tr>')
    names = "".join(f'<th style="text-align: left">{escape(name)}</th>' for name in head)
    return (
        f'<table class="rulekit"><caption>{text_html(caption)}</caption>'
        f"<thead><tr>{names}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def evenly_spaced(n: int) -> slice:
    """Rows that a summary of n rows looks at: all of them, or at most 10,000 evenly spaced ones."""
    return slice(None, None, -(-n // _LOOKED_AT) or 1)
