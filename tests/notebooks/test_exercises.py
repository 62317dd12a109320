"""The exercises of all notebooks: the stub is not answered, mistakes get their hint, solutions are right."""

import math

import nbformat
import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.files import resource

NOTEBOOKS = sorted(resource("notebooks").glob("[01]*.ipynb"))
check = rk.exercises.check


def tagged(path, tag: str) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [c.source for c in cells if tag in c.metadata.get("tags", [])]


def verdict(source: str) -> rk.exercises.Verdict:
    """What the check at the end of a cell says, in a namespace as a reader has it."""
    *lines, last = source.rstrip().split("\n")
    space = {"np": np, "rk": rk}
    exec("\n".join(lines), space)
    return eval(last, space)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_stubs_are_not_answered_and_solutions_are_right(path):
    stubs, solutions = tagged(path, "exercise"), tagged(path, "solution")
    assert 2 <= len(stubs) == len(solutions) <= 3
    for stub, solution in zip(stubs, solutions, strict=True):
        assert stub.split("\n")[-1] == solution.split("\n")[-1]
        assert f'check("{path.stem[:2]}-' in stub
        assert str(verdict(stub)).startswith("not answered yet: Expected: ")
        assert verdict(solution).state == "right", solution


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_solutions_are_folded_away(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if "solution" in cell.metadata.get("tags", []):
            assert cell.metadata["jupyter"]["source_hidden"]


def test_every_exercise_is_in_a_notebook():
    asked = "\n".join(source for path in NOTEBOOKS for source in tagged(path, "exercise"))
    assert [name for name in rk.exercises.names() if f'"{name}"' not in asked] == []


def signed(delta, k):
    return np.argsort(-delta, axis=1, kind="stable")[:, :k]


def last_of_ties(delta, k):
    n = delta.shape[1]
    return n - 1 - np.argsort(-np.abs(delta[:, ::-1]), axis=1, kind="stable")[:, :k]


def unstable(m, t):
    with np.errstate(all="ignore"):
        p = 1 / (1 + np.exp(-m))
        return np.mean(-t * np.log(p) - (1 - t) * np.log(1 - p))


def reversed_margin(m, t):
    return np.mean(t * np.logaddexp(0, m) + (1 - t) * np.logaddexp(0, -m))


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


MISTAKES = [
    ("00-turn", 2, "still B"),
    ("00-effective", 2, "all 100 cells"),
    ("01-rule", "Response A is better than the other one.", "'better' compares"),
    ("01-rule", "The response is polite and gives no instructions.", "'and' joins two rules"),
    ("01-rule", "Is the response polite to the user?", "question"),
    ("01-sum-label", (-3, 1), "negative sum speaks for B"),
    ("02-discrepancy", 0.6, "difference of P(yes)"),
    ("02-discrepancy", -1.1, "the sign is not"),
    ("02-auc", 5 / 6, "counts one half"),
    ("02-auc", 75, "per cent"),
    ("03-top-k", signed, "largest δ"),
    ("03-top-k", lambda d, k: signed(-np.abs(d), k), "smallest |δ|"),
    ("03-top-k", last_of_ties, "ties"),
    ("03-top-k", lambda d, k: signed(np.abs(d), k)[:, ::-1], "another order"),
    ("03-ties", 0, "one of them speaks for A"),
    ("04-recall-floor", 1 / 12, "one draw"),
    ("04-break-even", 50, "training"),
    ("05-loss", lambda m, t: len(m) * reversed_margin(-m, t), "the mean"),
    ("05-loss", reversed_margin, "reversed"),
    ("05-loss", unstable, "np.logaddexp"),
    ("05-flip", 0.72, "agree, too"),
    ("06-interval", (True, False), "interval of the difference"),
    ("06-ratings", (720, 300), "two responses"),
    ("06-ratings", (600, 1440), "order"),
    ("07-information", entropy, "1 − h(p)"),
    ("07-information", lambda p: 1 - entropy(p), "0 · log 0"),
    ("07-flip", 0.125, "becomes right"),
    ("07-rho", 0.5, "twelve"),
    ("08-plug-in", 0.2781, "plug-in itself"),
    ("08-false-discoveries", 1, "first that fails"),
    ("08-rare", 0.278, "3 %"),
    ("09-weights", 1 / 3, "counts votes"),
    ("09-audit", 5, "60 say nothing"),
    ("10-kappa", 0.6, "chance"),
    ("10-calibration", 0, "do not make up"),
    ("11-abstention", 0.48, "coin"),
    ("11-tokens", 0.05, "reads the response again"),
    ("12-whole", 20, "other 96 %"),
    ("12-padding", 0.61, "share of padding"),
    ("13-kappa", 2 / 3, "plain κ"),
    ("13-loud", (0.18, 0.18), "its own small ones"),
    ("14-tie", 0.625, "counts as lost"),
    ("14-gate", 1, "not sure"),
]


@pytest.mark.parametrize(("name", "answer", "hint"), MISTAKES)
def test_a_mistake_gets_its_hint(name, answer, hint):
    found = check(name, answer)
    assert found.state == "not right"
    assert hint in found.said


def test_each_exercise_has_a_mistake_with_a_hint():
    assert {name for name, _, _ in MISTAKES} == set(rk.exercises.names())


class Hostile:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no")


NONSENSE = [
    "seven", b"7", [], {}, [1, [2]], [10**400], float("nan"), 1j, Hostile(), print, object(),
    pl.DataFrame({"a": ["b"]}), np.zeros((3, 3, 3)), lambda *_: [[1]], lambda *_: "x",
]  # fmt: skip


@pytest.mark.parametrize("name", rk.exercises.names())
def test_whatever_a_student_answers_is_told_what_is_expected_and_never_an_error(name):
    for answer in NONSENSE:
        found = check(name, answer)
        assert found.state in ("not right", "not answered yet")
        assert found.said
    for blank in (None, ..., lambda *_: None):
        assert check(name, blank).state != "right"
    assert check(name, None).said == check(name, ...).said


def test_a_function_that_fails_is_told_so_and_the_page_goes_on():
    found = check("03-top-k", lambda delta, k: delta[99])
    assert "IndexError" in found.said


def test_a_verdict_shows_itself_escaped():
    def answer(_):
        raise ValueError("<script>")

    shown = check("07-information", answer)._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_an_exercise_that_is_not_there_is_an_error_of_the_page():
    with pytest.raises(ValueError, match="no exercise '07-x'; allowed: 00-turn"):
        check("07-x", 1)
