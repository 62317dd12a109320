"""What the tools of the workbench share: a state comes in, controls or a static picture go out.

`Tool` is the base of all of them; `is_headless` says which of the two is shown, `Slider` and `Grid`
are controls that ipywidgets lacks, `as_html` puts charts, tables and texts into a widget.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from html import escape
from os import environ
from pathlib import Path

import anywidget
import ipywidgets
import polars as pl
import traitlets

from rulekit.tables import text_html, visible

PAGE = 200  # rows that are sent to the browser at most
_HERE = Path(__file__).parent
_PYTHON_CLIENT = re.compile(r"_\d+_\d+$")  # jupyter_client names its messages so, browsers do not


class Tool:
    """A tool of the workbench: a frozen state, what follows from it, and controls that change it.

    A tool gives `data` and `picture`, which need no front end, and `controls`; `redraw` shows a new
    state in the controls. In a notebook with a browser it shows its controls, elsewhere its picture.

    Parameters
    ----------
    state
        A frozen dataclass: all that is chosen.
    """

    def __init__(self, state: object) -> None:
        self.state = state
        self.notice = None  # a line for what went wrong; made with the controls
        self._controls = None

    def data(self) -> dict[str, object]:
        """Frames and plain values that follow from the state."""
        raise NotImplementedError

    def picture(self) -> list[object]:
        """What a page without a kernel shows: charts, tables and HTML, one below the other."""
        raise NotImplementedError

    def controls(self) -> ipywidgets.Widget:
        """The controls, made when they are first shown."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Show the state in the controls, once there are some."""

    def change(self, **parts: object) -> None:
        """Choose something else.

        Parameters
        ----------
        parts
            New values of fields of the state.

        Raises
        ------
        ValueError
            For a field that the state has not.
        """
        known = [f.name for f in fields(self.state)]
        for name in parts:
            if name not in known:
                raise ValueError(f"unknown part {name!r}; allowed: {', '.join(known)}")
        self.state = replace(self.state, **parts)
        if self._controls is not None:
            self.redraw()

    def widget(self) -> ipywidgets.Widget:
        """The controls with the state in them; the same object each time."""
        if self._controls is None:
            self.notice = ipywidgets.HTML()
            made = self.controls()
            self._controls = ipywidgets.VBox([self.notice, made])
            self._controls.add_class("rulekit-tool")
            self.redraw()
        return self._controls

    def on(self, act: Callable[..., None]) -> Callable[..., None]:
        """A handler that says in the tool what went wrong; the front end would hide it in a log.

        Parameters
        ----------
        act
            What is done when a control is used.
        """

        def handled(*arguments: object) -> None:
            try:
                act(*arguments)
            except Exception as error:
                self.notice.value = f'<div role="alert">{text_html(f"{error}")}</div>'
            else:
                if self.notice.value:
                    self.notice.value = ""

        return handled

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for part in self.picture() if is_headless() else [self.widget()]:
            display(part)


def is_headless() -> bool:
    """Whether nobody can move a control: a run, papermill, a script, a terminal."""
    if "RULEKIT_HEADLESS" in environ:
        return True
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return True
    request = kernel.get_parent("shell")
    if "cellId" in request.get("metadata", {}):  # JupyterLab, Notebook 7 and VS Code name the cell
        return False
    return bool(_PYTHON_CLIENT.search(request.get("header", {}).get("msg_id", "_0_0")))


def debounced(act: Callable[..., None], seconds: float = 0.2) -> Callable[..., None]:
    """The same, called once it has not been asked for some time, with the last arguments.

    Parameters
    ----------
    act
        What is done.
    seconds
        How long it waits, 0 or more. Where no event loop runs, as in a script, it does not wait.
    """
    waiting: list[asyncio.TimerHandle] = []

    def asked(*arguments: object) -> None:
        for handle in waiting:
            handle.cancel()
        waiting.clear()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            act(*arguments)
        else:
            waiting.append(loop.call_later(seconds, act, *arguments))

    return asked


def as_html(*parts: object) -> str:
    """Charts, tables and HTML as one text for a widget; a chart is a picture with its words.

    Parameters
    ----------
    parts
        Altair charts, or what has ``_repr_html_``; a text is shown as it is.
    """
    return "".join(_html(part) for part in parts)


def _html(part: object) -> str:
    if hasattr(part, "to_dict") and hasattr(part, "mark_bar" if hasattr(part, "mark") else "layer"):
        from rulekit.plots import as_png

        data, metadata = as_png(part.to_dict())
        about = metadata["image/png"]
        return (
            f'<img src="data:image/png;base64,{base64.b64encode(data["image/png"]).decode()}" '
            f'alt="{escape(about["alt"])}" width="{about["width"]}" style="max-width: 100%; '
            'background: white">'
        )
    if hasattr(part, "_repr_html_"):
        return part._repr_html_()
    return text_html(part)


class Slider(anywidget.AnyWidget):
    """A number on a native slider, with its label and its keys; sent while it moves.

    Its traits are ``label``, what it is, beside the slider and for screen readers, and ``value``,
    ``min``, ``max`` and ``step`` of the number.
    """

    _esm = _HERE / "slider.js"
    _css = _HERE / "elements.css"
    label = traitlets.Unicode().tag(sync=True)
    value = traitlets.Float(0.0).tag(sync=True)
    min = traitlets.Float(0.0).tag(sync=True)
    max = traitlets.Float(1.0).tag(sync=True)
    step = traitlets.Float(0.01).tag(sync=True)


class Grid(anywidget.AnyWidget):
    """A page of a table: headings that sort, rows that are chosen, switches before them.

    It sorts and filters nothing: it sends what was asked for, and shows what it is given. What was
    asked for comes as a message: ``{"sort": column}``, ``{"row": id}``, ``{"switch": id, "on": bool}``
    or ``{"page": step}``; `on_ask` takes a function of it. Its trait ``label`` says what the table
    is, for screen readers.
    """

    _esm = _HERE / "grid.js"
    _css = _HERE / "elements.css"
    label = traitlets.Unicode().tag(sync=True)
    page = traitlets.Dict().tag(sync=True)

    def on_ask(self, act: Callable[[dict], None]) -> None:
        """Call a function of every message."""
        self.on_msg(lambda _, content, __: act(content))

    def show(
        self,
        frame: pl.DataFrame,
        key: str,
        *,
        names: Mapping[str, str] | None = None,
        percent: Sequence[str] = (),
        digits: int = 3,
        sort: str = "",
        descending: bool = False,
        chosen: str = "",
        on: Sequence[bool] | None = None,
        switch: str = "use",
        said: str = "",
        first: bool = True,
        last: bool = True,
    ) -> None:
        """Show these rows.

        Parameters
        ----------
        frame
            200 rows or fewer, in the order to be shown.
        key
            Column of unique texts that a message calls a row by.
        names
            Headings of columns; others keep their name.
        percent
            Columns of shares that are shown as percentages.
        digits
            Decimals of broken numbers.
        sort, descending
            By which column the rows are sorted, and how.
        chosen
            Key of the row that is marked.
        on
            State of each row's switch; None shows no switches.
        switch
            What a switch does, in a word.
        said
            A line below, such as which rows these are.
        first, last
            Whether these are the first and the last rows, so that there is no page before or behind.

        Raises
        ------
        ValueError
            For more than 200 rows.
        """
        if len(frame) > PAGE:
            raise ValueError(f"{len(frame)} rows; allowed: {PAGE} or fewer, a page")
        headings, kinds = dict(names or {}), frame.schema
        columns = [
            {
                "name": c,
                "heading": visible(headings.get(c, c.replace("_", " "))),
                "number": kinds[c].is_numeric(),
            }
            for c in frame.columns
        ]
        cells = zip(*(_written(frame[c], c in percent, digits) for c in frame.columns), strict=True)
        rows = [
            {"key": name, "cells": list(row)} for name, row in zip(frame[key], cells, strict=True)
        ]
        for row, state in zip(rows, on if on is not None else (), strict=False):
            row["on"] = bool(state)
        told = {"columns": columns, "rows": rows, "sort": sort, "descending": descending}
        told["switch"] = switch
        self.page = {**told, "chosen": chosen, "said": said, "first": first, "last": last}


def _written(values: pl.Series, percent: bool, digits: int) -> list[str]:
    """The cells of a column as they are shown."""
    if percent:
        return [
            "–" if v is None or v != v else f"{100 * v:.1f} %".replace("-", "−") for v in values
        ]
    if values.dtype.is_float():
        style = f".{digits}f"
        return ["–" if v is None or v != v else format(v, style).replace("-", "−") for v in values]
    if values.dtype == pl.Boolean:
        return ["–" if v is None else "yes" if v else "no" for v in values]
    return ["–" if v is None else visible(v) for v in values]
