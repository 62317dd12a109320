"""What all commands share: their common options, what is printed where, and errors in one line.

The words of a command line come in through typer; a result goes to stdout, everything else to
stderr, an exit status to the shell. Every file of a command begins here.
"""

from __future__ import annotations

import json
import math
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130  # exit statuses
_TWO_WORDS = "NAME VALUE"
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more, and where an error comes from.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")
]
Log = Annotated[
    str | None,
    typer.Option(
        metavar="KEEPER",
        help="Hand what was run to another keeper of experiments: mlflow, where MLFLOW_TRACKING_URI says.",
    ),
]


class Failed(Exception):
    """What ends a command with a message and an exit status.

    Parameters
    ----------
    message
        One line.
    status
        1 it failed, 2 bad arguments, 130 interrupted.
    """

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Voice:
    """Where a command prints.

    Attributes
    ----------
    quiet
        Print errors and warnings only; with `as_json` the object still.
    verbose
        Print details too.
    as_json
        Print the result as a JSON object, and everything else on stderr.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False

    @classmethod
    def of(cls, arguments: SimpleNamespace) -> Voice:
        """That of a command's arguments."""
        return cls(arguments.quiet, arguments.verbose, arguments.as_json)

    def result(self, text: str, value: dict) -> None:
        """What was asked for: a text for people, with --json a value for programs."""
        if self.as_json:
            print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))
        elif not self.quiet:
            print(text)

    def note(self, text: str) -> None:
        """Where the files are and what comes next."""
        if not self.quiet:
            print(text, file=sys.stderr if self.as_json else sys.stdout)

    def progress(self, text: str) -> None:
        """How far the work is."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """What must not be overlooked; --quiet does not silence it."""
        print(f"rulekit: warning: {' '.join(text.splitlines())}", file=sys.stderr)

    def detail(self, text: str) -> None:
        """What only -v tells."""
        if self.verbose:
            print(text, file=sys.stderr, flush=True)


class Command(TyperCommand):
    """A command whose examples are printed as they are written.

    An option whose metavar is ``NAME VALUE`` takes two words each time; typer knows no such type.
    """

    def __init__(self, *arguments, **settings) -> None:
        for parameter in settings.get("params") or ():
            if parameter.metavar == _TWO_WORDS:
                parameter.nargs = 2
        super().__init__(*arguments, **settings)

    def format_epilog(self, ctx, formatter) -> None:
        """Write the examples, below all options."""
        if self.epilog:
            formatter.write(f"\n{self.epilog.strip()}\n")


def named_values(flag: str, help: str):
    """An option such as ``-o NAME VALUE`` that may be given again and again."""
    return typer.Option(flag, metavar=_TWO_WORDS, parser=tuple, help=help)


def group(help: str, **settings) -> typer.Typer:
    """A command that has commands of its own, the kit's whole command line among them."""
    settings = {
        "cls": TyperGroup,
        "context_settings": _SETTINGS,
        "add_completion": False,
    } | settings
    return typer.Typer(help=help, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def add(app: typer.Typer, name: str, does: Callable, examples: str, **settings) -> None:
    """Add a command; its function's docstring is its help, `examples` (lines) stand below its options."""
    settings = {"cls": Command, "epilog": f"examples:{examples}"} | settings
    settings["context_settings"] = _SETTINGS | settings.get("context_settings", {})
    app.command(name, **settings)(does)


def answer(run: Callable[[SimpleNamespace], int | None], given: dict) -> int:
    """Run a command; an error becomes one line on stderr and an exit status.

    Parameters
    ----------
    run
        Takes the arguments; gives an exit status, or None: done.
    given
        The arguments by name, `quiet`, `verbose` and `as_json` among them.

    Returns
    -------
    0 done, 1 it failed or something was found, 2 bad arguments, 130 interrupted.
    """
    arguments = SimpleNamespace(**given)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return run(arguments) or DONE
    except BrokenPipeError:
        raise  # `rulekit … | head`: typer ends it silently
    except Failed as error:
        return _say(error, str(error), error.status, arguments)
    except FileNotFoundError as error:
        said = f"no such file: {error.filename}" if error.filename else str(error)
        return _say(error, said, WRONG, arguments)
    except ValueError as error:
        return _say(error, str(error), WRONG, arguments)
    except (RuntimeError, OSError) as error:
        return _say(error, str(error), FAILED, arguments)
    except KeyboardInterrupt as error:
        return _say(error, "interrupted", INTERRUPTED, arguments)
    except Exception as error:  # of a library, or our own mistake: -v shows where
        said = f"unexpected {type(error).__name__}: {error}; -v shows where"
        return _say(error, said, FAILED, arguments)


def usage(error: typer.TyperException) -> str:
    """What is wrong with the words of a command line, in one line."""
    ctx = getattr(error, "ctx", None)
    said = " ".join(error.format_message().split()).rstrip(".")
    said = said[:1].lower() + said[1:]
    if ctx is None:
        return said
    if isinstance(ctx.command, TyperGroup) and "command" in said:
        said += f"; allowed: {', '.join(ctx.command.list_commands(ctx))}"
    return f"{said}; see {ctx.command_path} --help"


def write_table(frame, path: str | Path) -> Path:
    """Write a frame as the ending of the path says: .parquet, .csv, .json or .jsonl.

    Raises
    ------
    ValueError
        For another ending.
    """
    from rulekit.files import write_atomically

    writers = {
        ".parquet": frame.write_parquet,
        ".csv": frame.write_csv,
        ".json": frame.write_json,
        ".jsonl": frame.write_ndjson,
    }
    write = writers.get(Path(path).suffix.lower())
    if write is None:
        raise ValueError(f"{path}: unknown ending; allowed: {', '.join(writers)}")
    return write_atomically(path, write)


def shown(frame) -> str:
    """A frame as text: every row and column, long texts wrapped, without types."""
    import polars as pl

    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=220,
        fmt_str_lengths=200,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="NOTHING",
        float_precision=3,
    ):
        return "\n".join(line.rstrip() for line in str(frame).splitlines())


def plain(value):
    """A value as JSON knows it: paths as texts, NaN as null, arrays as lists."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _say(error: BaseException, message: str, status: int, arguments: SimpleNamespace) -> int:
    if arguments.verbose:
        traceback.print_exception(error)
    print(f"rulekit: {' '.join(message.splitlines())}", file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    Voice().warn(str(message))
