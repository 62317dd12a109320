"""What all commands have in common: help with an example, statuses, errors in one line, a quick start."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer

import rulekit as rk
from rulekit.cli import app
from tests.cli.words import refused, run
from tests.judges.faulty_server import Server, serve
from tests.rating.helpers import FEW, expected, some_pairs, steady

SCRIPT = str(Path(sys.executable).with_name("rulekit"))
WHOLE = typer.main.get_command(app)


def every(command, words=()) -> list[tuple[str, ...]]:
    """The words of each command that does something."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [words]
    return [each for name, c in inner.items() for each in every(c, (*words, name))]


COMMANDS = [words for words in every(WHOLE) if words != ("train",)]


def ran(*words: str, **settings) -> subprocess.CompletedProcess:
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, check=False, **settings)


ANY_NUMBER = (
    ("store", "check"),
    ("store", "merge"),
    ("compare",),
    ("runs", "list"),
    ("runs", "clean"),
)


def test_all_commands_are_there():
    assert {" ".join(words) for words in every(WHOLE)} == {
        "annotate",
        "bench gpu",
        "compare",
        "data describe",
        "doctor",
        "evaluate",
        "label",
        "models fetch",
        "models list",
        "models path",
        "models remove",
        "new",
        "rules check",
        "rules diff",
        "rules stats",
        "run",
        "runs clean",
        "runs list",
        "runs show",
        "select",
        "store check",
        "store export",
        "store merge",
        "sweep",
        "train",
    }


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_an_example_and_the_common_options(words):
    shown = run(*words, "--help")
    assert shown.status == 0
    assert shown.err == ""
    assert f"\n  rulekit {' '.join(words)}" in shown.out.split("\nexamples:")[1]
    for option in ("--json", "-q, --quiet", "-v, --verbose", "-h, --help"):
        assert option in shown.out
    assert run(*words, "-h").out == shown.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_and_too_many_words_end_in_one_line(words):
    assert "no such option: --nonsense" in refused(*words, "--nonsense")
    if words not in ANY_NUMBER:
        assert "unexpected extra argument" in refused(*words, *"abcdefg")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "no such command 'nonsense'; allowed: new, run, sweep, runs, compare, data"),
        (["anotate", "x"], "Did you mean 'annotate'?"),
        (["rules"], "missing command; allowed: check, diff, stats; see rulekit rules --help"),
        (["store", "check"], "missing argument 'FILE...'; see rulekit store check --help"),
        (["label"], "missing argument 'RATINGS'; see rulekit label --help"),
        (["label", "x", "-k", "many"], "invalid value for '-k'"),
        (["run", "quickstart", "-p", "k"], "option '-p' requires 2 arguments"),
    ],
)
def test_words_that_make_no_sense_are_told_what_is_allowed(words, message):
    assert message in refused(*words)


def test_without_words_the_help_is_shown_and_the_status_says_so():
    shown = run()
    assert shown.status == 2
    assert shown.out == run("--help").out
    assert "annotate" in shown.out


def test_training_gets_its_words_as_they_are():
    done = ran("train", "--help")
    assert done.returncode == 0
    assert "usage: rulekit train" in done.stdout
    assert "--provenance FILE" in done.stdout
    assert ran("train", "reward", "-p", "k").returncode == 2
    assert run("train", "reward", "--config", "encoder-cpu", "-p", "nothing", "1").status == 2


def test_help_loads_neither_torch_nor_polars():
    code = (
        "import sys; from rulekit.cli import main; main(['--help']); main(['label', '--help']); "
        "print({'torch', 'polars', 'numpy', 'numba', 'transformers', 'rich', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    """As in `rulekit … | head -1`."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = subprocess.run(
            [SCRIPT, "rules", "stats", "embedded", "--json"],
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr
    assert "rulekit:" not in done.stderr


def test_an_interruption_says_how_to_go_on(tmp_path):
    some_pairs(4).write_ndjson(tmp_path / "pairs.jsonl")
    FEW.save(tmp_path / "rules.yaml")
    asked, go_on = threading.Event(), threading.Event()

    def hold():
        asked.set()
        go_on.wait(20)

    server = Server(steady, hold=hold)
    with serve(server):
        options = "--rules rules.yaml --judge server -o model m -o method logprobs -o base_url"
        words = [SCRIPT, "annotate", "pairs.jsonl", *options.split(), server.url]
        process = subprocess.Popen(
            words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        go_on.set()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "rulekit: interrupted; the same command goes on"
    assert "Traceback" not in err


def test_verbose_shows_where_an_error_comes_from_and_quiet_prints_nothing(tmp_path):
    scores = expected(6)
    scores.write(tmp_path / "scores.parquet")
    words = ["label", tmp_path / "scores.parquet", "-o", tmp_path / "l.parquet"]
    wrong = run(*words, "--method", "nothing", "-v")
    assert wrong.status == 2
    assert "Traceback" in wrong.err
    assert wrong.err.splitlines()[-1].startswith("rulekit: unknown method 'nothing'; allowed: ")
    quiet = run(*words, "-q")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    assert run(*words, "-q", "--json").json["pairs"] == 6
    assert "Scores(6 pairs × 12 rules" in run(*words, "-v").err


def test_a_damaged_file_ends_in_one_line(tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"no table at all" * 10)
    line = refused("label", path, status=1)
    assert "-v shows where" in line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_recipes(shell):
    script = ran(
        "--show-completion", shell, env=_plain(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    )
    assert script.returncode == 0, script.stderr
    assert "_RULEKIT_COMPLETE" in script.stdout

    def completed(line: str) -> str:
        words = line.split(" ")
        given = {
            "_RULEKIT_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        done = ran(env=_plain(**given))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "annotate" in completed("rulekit ann")
    assert "describe" in completed("rulekit data ")
    assert "--for-training" in completed("rulekit label x --for")
    assert "quickstart" in completed("rulekit run qui")


def test_completion_is_installed_where_the_shell_looks(tmp_path):
    home = _plain(HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    done = ran("--install-completion", "bash", env=home)
    assert done.returncode == 0, done.stderr
    assert "completion installed" in done.stdout
    (script,) = tmp_path.rglob("rulekit.sh")
    assert "complete -o default -F _rulekit_completion rulekit" in script.read_text()


def test_json_is_all_there_is_on_stdout(tmp_path):
    expected(6).write(tmp_path / "scores.parquet")
    done = ran("label", "scores.parquet", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["files"] == {"labels": "labels.parquet"}
    assert done.stderr.startswith("labels: labels.parquet; next: ")


def test_the_version():
    assert run("--version").out == f"rulekit {rk.__version__}\n"


def _plain(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("_TYPER", "_RULEKIT"))}
    return kept | more
