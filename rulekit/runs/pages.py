"""Notebooks as pages: an executed notebook comes in, HTML that runs nothing and loads nothing goes out.

`report` makes documents of them. Texts of outputs are data: what could act is taken out.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from html import escape, unescape
from pathlib import Path

from nbconvert.exporters.html import HTMLExporter
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from rulekit.tables import visible

TEMPLATES = Path(__file__).parent / "templates"
_PHONE = 540  # pixels; a picture that is not wider can be read on a phone as a whole
_NO_WORDS = "Picture without a description"

_TAGS = (
    "a abbr b bdi bdo blockquote br caption code col colgroup dd del details dfn div dl dt em "
    "figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small "
    "span strong sub summary sup table tbody td tfoot th thead tr u ul var wbr"
)
_LOOKS = (
    "background background-color border border-bottom border-collapse border-color border-left "
    "border-radius border-right border-style border-top border-width box-sizing color direction "
    "display flex flex-wrap font-family font-size font-style font-variant font-weight gap "
    "letter-spacing line-height margin margin-bottom margin-left margin-right margin-top max-height max-width "
    "min-width opacity overflow overflow-wrap overflow-x overflow-y padding padding-bottom padding-left "
    "padding-right padding-top text-align text-decoration unicode-bidi vertical-align white-space "
    "width word-break"
)
_GONE = "script style template noscript iframe object embed link meta title head svg math"
_ALLOWED = {"class", "dir", "lang", "scope", "headers", "colspan", "rowspan", "role"}


@dataclass(frozen=True)
class Page:
    """A notebook as a part of a document.

    Attributes
    ----------
    id
        Name of the part in links.
    title
        First heading of the notebook, or else its name.
    body
        HTML.
    """

    id: str
    title: str
    body: str


def page(notebook, name: str) -> Page:
    """An executed notebook as a page: code folded, mathematics as MathML, pictures with words.

    Exercises, which are for those who run the notebook themselves, are left out: everything from
    the heading ``Exercises`` on, and wherever they stand cells tagged ``exercise`` or ``solution``.

    Parameters
    ----------
    notebook
        The notebook that nbformat reads, with its outputs.
    name
        Of the notebook, without ending.
    """
    shown = notebook.copy()
    shown.cells = _joined(_without_exercises(notebook.cells))
    body, _ = exporter().from_notebook_node(shown)
    heading = re.search(r"<h[12]\b[^>]*>(.*?)</h[12]>", body, re.S)
    title = " ".join(re.sub(r"<[^>]*>", "", heading[1]).split()) if heading else name
    return Page(re.sub(r"[^\w-]", "-", name), unescape(title), body)


def without_title(made: Page) -> Page:
    """The same without its first heading, for a document that has it as its own."""
    return replace(made, body=re.sub(r"<h2>.*?</h2>", "", made.body, count=1, flags=re.S))


def document(
    title: str,
    pages: Sequence[Page],
    *,
    about: Sequence[str] = (),
    notes: Sequence[str] = (),
    provenance: Sequence[tuple[str, str]] = (),
    warnings: Sequence[str] = (),
) -> str:
    """Pages as one HTML document that stands alone.

    Parameters
    ----------
    title
        Of the document.
    pages
        Its parts, in their order.
    about
        Lines below the title.
    notes
        What to know before reading, each in Markdown.
    provenance
        Names and values of where it comes from.
    warnings
        Lines that were printed as warnings.
    """
    css = (TEMPLATES / "rulekit" / "report.css").read_text(encoding="utf-8")
    return (
        exporter()
        .environment.get_template("report.html.j2")
        .render(
            title=title,
            sections=pages,
            about=about,
            notes=[_without_paragraph(markdown_html(note)) for note in notes],
            provenance=provenance,
            warnings=warnings,
            css=css + _code_colors(),
        )
    )


def _without_paragraph(html: str) -> str:
    html = html.strip()
    return html[3:-4] if html.startswith("<p>") and html.count("<p>") == 1 else html


def _code_colors() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (
        HtmlFormatter(style=style, nobackground=True).get_style_defs(".highlight")
        for style in ("default", "github-dark")
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _without_exercises(cells: list) -> list:
    found: list = []
    for cell in cells:
        if cell.cell_type == "markdown" and re.match(r"#+\s+Exercises\s*$", cell.source, re.M):
            break
        if not {"exercise", "solution"} & set(cell.metadata.get("tags", [])):
            found.append(cell)
    return found


def _joined(cells: list) -> list:
    """Code that shows nothing stands with the code that follows it, or else that comes before."""
    found: list = []
    for cell in cells:
        last = found[-1] if found else None
        both = last is not None and {last.cell_type, cell.cell_type} == {"code"}
        if both and not (last.outputs and cell.outputs):
            joined = cell.copy()
            joined.outputs = [*last.outputs, *cell.outputs]
            joined.source = f"{last.source.rstrip()}\n\n{cell.source}"
            found[-1] = joined
        elif cell.cell_type != "code" or cell.source.strip():
            found.append(cell)
    return found


@cache
def exporter() -> PageExporter:
    """The exporter of all pages."""
    return PageExporter()


class PageExporter(HTMLExporter):
    """nbconvert's exporter with the kit's template, and filters that take texts as data."""

    def __init__(self, **settings) -> None:
        settings["extra_template_basedirs"] = [str(TEMPLATES)]
        super().__init__(template_name="rulekit", **settings)

    @property
    def default_config(self) -> Config:
        kinds = ["html", "markdown", "latex", "plain"]
        order = [f"text/{k}" for k in kinds[:2]] + ["image/svg+xml", "image/png", "image/jpeg"]
        own = Config(
            {"NbConvertBase": {"display_data_priority": order + [f"text/{k}" for k in kinds[2:]]}}
        )
        settings = super().default_config.copy()
        settings.merge(own)
        return settings

    def default_filters(self):
        yield from super().default_filters()
        yield "markdown2html", markdown_html
        yield "safe_html", safe_html
        yield "plain_text", plain_text
        yield "picture", picture


def picture(output, kind: str) -> str:
    """A picture with what is on it in words: its own, or the text that goes with it."""
    told, text = output.metadata.get(kind, {}), output.data.get("text/plain", "")
    words = told.get("alt") or (text if text and not text.startswith("<") else _NO_WORDS)
    data = output.data[kind].replace("\n", "")
    if kind == "image/svg+xml":
        data = b64encode(output.data[kind].encode()).decode()
    width = f' width="{int(told["width"])}"' if "width" in told else ""
    broad = ' class="broad"' if told.get("width", 0) > _PHONE else ""
    return (
        f'<figure class="wide"><img src="data:{kind};base64,{escape(data)}" '
        f'alt="{escape(visible(words))}"{width}{broad}></figure>'
    )


def plain_text(text: object) -> str:
    """Printed text as HTML: without ANSI codes, and of a line that is written over the last state."""
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in strip_ansi(str(text)).split("\n"))
    return f'<bdi class="tex2jax_ignore">{escape(visible(chr(10).join(lines)))}</bdi>'


def safe_html(html: str) -> str:
    """HTML of an output without what could run, load, or stand over the page."""
    import bleach
    from bleach.css_sanitizer import CSSSanitizer
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    for tag in soup(_GONE.split()):
        tag.decompose()
    return bleach.clean(
        str(soup),
        tags=frozenset(_TAGS.split()),
        attributes=_is_allowed,
        css_sanitizer=CSSSanitizer(allowed_css_properties=_LOOKS.split()),
        protocols=["http", "https", "data"],
        strip=True,
    )


def _is_allowed(tag: str, name: str, value: str) -> bool:
    if name == "href":
        return tag == "a" and value.startswith(("https://", "http://", "#"))
    if name == "src":
        return tag == "img" and value.startswith("data:image/")
    if name == "style":
        return not re.search(r"url|[\\@]", value, re.I)  # nothing that loads, however written
    if name in ("alt", "width", "height"):
        return tag == "img"
    if name in ("id", "aria-labelledby"):
        return value.startswith("rk-")  # of the kit's tables
    return name in _ALLOWED


def markdown_html(source: str) -> str:
    """Markdown as HTML, headings a level lower, mathematics as MathML."""
    html = safe_html(MarkdownWithMath(renderer=_Renderer(escape=False)).render(source))
    return re.sub(r'<span class="tex (inline|block)">(.*?)</span>', _mathml, html, flags=re.S)


class _Renderer(IPythonRenderer):
    """Marks mathematics, so that it can be drawn when all else is safe."""

    def __init__(self, **settings) -> None:
        super().__init__(exclude_anchor_links=True, **settings)

    def heading(self, text: str, level: int, **_: object) -> str:
        level = min(6, level + 1)
        return f"<h{level}>{text}</h{level}>\n"

    def inline_math(self, body: str) -> str:
        return f'<span class="tex inline">{escape(body)}</span>'

    def block_math(self, body: str) -> str:
        return f'<span class="tex block">{escape(body)}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


def _mathml(found: re.Match) -> str:
    from latex2mathml.converter import convert

    tex = unescape(found[2])
    try:
        # what it is given as < it hands on, inside \text even as markup
        made = convert(tex.replace("<", r"\lt ").replace(">", r"\gt "), display=found[1])
    except Exception:  # it has no base class for what it cannot read
        return f"<code>{escape(tex)}</code>"
    made = made.replace("&#x029F5;", "&#x02216;")  # the set difference that more fonts have
    return made.replace("<math ", f'<math alttext="{escape(tex)}" ', 1)
