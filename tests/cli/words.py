"""A command line run in this process: its words come in, its status and what it printed go out."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from rulekit.cli import main


@dataclass(frozen=True)
class Ran:
    """Exit status, stdout and stderr of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The one object on stdout."""
        return json.loads(self.out)


def run(*words: object) -> Ran:
    """Run `rulekit` with these words."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in words])
    return Ran(status, out.getvalue(), err.getvalue())


def refused(*words: object, status: int = 2) -> str:
    """Run `rulekit`, which has to end with this status and one line; the line."""
    ran = run(*words)
    assert ran.status == status, ran
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("rulekit: ")
    return line.removeprefix("rulekit: ")
