"""The exercises of all notebooks: the stub is not answered, mistakes get their hint, solutions are right."""

import math

import nbformat
import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.files import resource

NOTEBOOKS = sorted(resource("notebooks").glob("[01]*.ipynb"))
TOPICS = {  # of the notebooks of the course: their exercises are named after them
    "00_overview": "overview",
    "01_rules_and_pairs": "rules",
    "02_ratings": "ratings",
    "03_selection": "selection",
    "04_votes": "votes",
    "05_assumptions": "assumptions",
    "06_estimation": "estimation",
    "07_weights": "weights",
    "08_rule_adapter": "adapter",
    "09_reward_model": "reward",
    "10_results": "results",
}
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
    least, topic = (2, TOPICS[path.stem]) if path.stem in TOPICS else (0, "")
    assert least <= len(stubs) == len(solutions) <= 3
    for stub, solution in zip(stubs, solutions, strict=True):
        assert stub.split("\n")[-1] == solution.split("\n")[-1]
        assert f'check("{topic}' in stub
        assert str(verdict(stub)).startswith("not answered yet: Expected: ")
        assert verdict(solution).state == "right", solution


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_solutions_are_folded_away_with_what_they_say(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if "solution" in cell.metadata.get("tags", []):
            assert cell.metadata["jupyter"] == {"source_hidden": True, "outputs_hidden": True}


def test_every_exercise_is_in_one_notebook():
    asked = "\n".join(source for path in NOTEBOOKS for source in tagged(path, "exercise"))
    assert [name for name in rk.exercises.names() if asked.count(f'"{name}"') != 1] == []


def signed(delta, k):
    return np.argsort(-delta, axis=1, kind="stable")[:, :k]


def last_of_ties(delta, k):
    n = delta.shape[1]
    return n - 1 - np.argsort(-np.abs(delta[:, ::-1]), axis=1, kind="stable")[:, :k]


def largest_last(delta, k):
    return np.argsort(np.abs(delta), axis=1, kind="stable")[:, -k:]


def parted(delta, k):
    return np.argpartition(-np.abs(delta), k - 1, axis=1)[:, :k]


def right_if_short(delta, k):
    """What an unstable sort does to a long row, whatever the sort of this machine is."""
    if delta.shape[1] <= 16:
        return signed(np.abs(delta), k)
    return last_of_ties(delta, k)


def unstable(m, t):
    with np.errstate(all="ignore"):
        p = 1 / (1 + np.exp(-m))
        return np.mean(-t * np.log(p) - (1 - t) * np.log(1 - p))


def reversed_margin(m, t):
    return np.mean(t * np.logaddexp(0, m) + (1 - t) * np.logaddexp(0, -m))


def log_odds(votes, y):
    right, wrong = (((votes * y[:, None]) * sign > 0).sum(axis=0) for sign in (1, -1))
    return np.log((right + 1) / (wrong + 1))


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def flips_first_of_the_array(t, order, share):
    return np.where(np.arange(len(t)) < round(share * len(t)), 1 - t, t)


def flips_in_place(t, order, share):
    t[order[: round(share * len(t))]] *= -1
    t[order[: round(share * len(t))]] += 1
    return t


def own(n=10, prompts=5, first=False, longer=False, preference=None):
    """Pairs as a student might write them; as it stands, without a fault."""
    rows = []
    for i in range(n):
        long = longer or i % 2 == 0
        good, bad = (
            (f"A long answer, number {i}.", "No.") if long else (f"Yes, {i}.", "Not at all.")
        )
        side = first or i % 3 == 0
        a, b = (good, bad) if side else (bad, good)
        told = preference if preference is not None else 1 if side else -1
        row = {"prompt": f"Question {i % prompts}?", "response_a": a, "response_b": b}
        rows.append(row | {"preference": told})
    return rows


def test_ten_pairs_without_a_fault_are_right():
    assert check("results-pairs", own()).state == "right"


MISTAKES = [
    # workbench
    ("workbench-turn", 2, "still B"),
    ("workbench-effective", 2, "all 100 cells"),
    # overview
    ("overview-steps", "cbeda", "e comes before b"),
    ("overview-steps", list("cebad"), "d comes before a"),
    ("overview-steps", "ceb", "Each of the letters"),
    ("overview-guess", "b", "Go rule by rule"),
    ("overview-guess", "both", "One letter"),
    # rules
    ("rules-rate", ((-1, 1), (1, 1)), "counts as proof"),
    ("rules-rate", ((0, 1), (1, -1)), "rule applies to any answer"),
    ("rules-rate", ((1, -1), (-1, 1)), "the sign is not"),
    ("rules-rate", ((0.5, 2), (1, -1)), "Only +1, −1 or 0 here."),
    ("rules-rate", (("-1", 1), (1, -1)), "without quotation marks"),
    ("rules-rule", "Response A is better than the other one.", "'better' compares"),
    ("rules-rule", "Response A offers a lawful way.", "'Response A': a rule is about one"),
    ("rules-rule", "B gives false legal advice to the user.", "a rule is about one response alone"),
    ("rules-rule", "The response is polite and gives no instructions.", "joins two rules"),
    ("rules-rule", "The response is appropriate.", "'appropriate' means something else"),
    ("rules-rule", "The response does not fail to mention the police.", "two negations"),
    ("rules-rule", "Is the response polite to the user?", "question"),
    ("rules-rule", "asdf asdf asdf asdf", "No sentence about a response"),
    ("rules-rule", "The response asdf asdf asdf.", "No sentence about a response"),
    ("rules-rule", "The response warns.", "3 words"),
    ("rules-sum-label", (-9, -1), "The label is right, the sum is not"),
    ("rules-sum-label", (-1, -1), "counts votes"),
    ("rules-sum-label", (-3, 0), "The sum is right; the label is its sign"),
    ("rules-sum-label", (-3, -3), "The sum is right; the label is its sign"),
    ("rules-sum-label", (-3, "B"), "Write the label as a number"),
    ("rules-sum-label", (-3, "-1"), "Write the label as a number"),
    ("rules-sum-label", (-3, 1), "negative sum speaks for B"),
    # ratings
    ("ratings-discrepancy", 0.6, "difference of P(yes)"),
    ("ratings-discrepancy", -1.1, "the sign is not"),
    ("ratings-auc", 5 / 6, "counts one half"),
    ("ratings-discrepancy", 0.55, "half of it"),
    ("ratings-discrepancy", 110, "a hundred times"),
    ("ratings-auc", 75, "per cent"),
    ("ratings-auc", 4.5, "divide by 6"),
    # selection
    ("selection-top-k", signed, "largest δ"),
    ("selection-top-k", lambda d, k: signed(-np.abs(d), k), "smallest |δ|"),
    ("selection-top-k", last_of_ties, "ties"),
    ("selection-top-k", lambda d, k: signed(np.abs(d), k)[:, ::-1], "another order"),
    ("selection-top-k", lambda d, k: d[:, :k], "columns are asked"),
    ("selection-top-k", lambda d, k: np.sort(np.abs(d))[:, ::-1][:, :k], "columns are asked"),
    ("selection-top-k", largest_last, "largest comes last"),
    ("selection-top-k", parted, "does not sort"),
    ("selection-top-k", right_if_short, "kind='stable'"),
    ("selection-ties", 0, "one of them speaks for A"),
    ("selection-ties", 2 / 5, "cannot be chosen at k = 1"),
    # votes
    ("votes-information", entropy, "1 − h(p)"),
    ("votes-information", lambda p: 1 - entropy(p), "0 · log 0"),
    ("votes-flip", 0.125, "becomes right"),
    ("votes-flip", 0.3, "two ways"),
    ("votes-agree", (0.7685, 0.5656), "where they quarrel"),
    ("votes-agree", (0.8808, 0.4981), "both are wrong"),
    ("votes-agree", (0.49808, 0.56555), "divide by how often they agree"),
    ("votes-agree", (0.56555, 0.88080), "their order is not"),
    # assumptions
    ("assumptions-rho", 0.5, "twelve"),
    ("assumptions-rho", 0.1, "mean / standard deviation"),
    ("assumptions-exchange", lambda joint: joint + joint[::-1, ::-1], "½ is missing"),
    ("assumptions-exchange", lambda joint: joint / joint.sum(axis=0), "joint ones sum to 1"),
    ("assumptions-exchange", lambda joint: joint * 3, "sum to 1, yours to 3"),
    ("assumptions-exchange", lambda joint: (joint + joint[::-1]) / 2, "Only the vote changes"),
    ("assumptions-exchange", lambda joint: (joint + joint[:, ::-1]) / 2, "Only Y changes"),
    ("assumptions-exchange", lambda joint: joint[::-1, ::-1], "exchanges always"),
    ("assumptions-exchange", lambda joint: (joint + joint.T) / 2, "exchanges vote and Y"),
    ("assumptions-exchange", lambda joint: np.eye(2) / 2, "becomes (−vote, −Y)"),
    # estimation
    ("estimation-plug-in", 0.2781, "plug-in itself"),
    ("estimation-false-discoveries", 1, "first that fails"),
    ("estimation-rare", 0.531, "5 % of the pairs"),
    # weights
    (
        "weights-fit",
        lambda v, y: np.log(((v * y[:, None]) > 0).sum(0) / ((v * y[:, None]) < 0).sum(0)),
        "not finite",
    ),
    ("weights-fit", lambda v, y: -log_odds(v, y), "reversed"),
    ("weights-fit", lambda v, y: log_odds(v, y) / np.log(2), "natural logarithm"),
    ("weights-fit", lambda v, y: 1 / (1 + np.exp(-log_odds(v, y))), "accuracies"),
    ("weights-fit", lambda v, y: log_odds(v, y) + 1, "yours has"),
    ("weights-audit", (79 / 4096, True), "smallest of 100"),
    ("weights-audit", (66 / 4096, False), "exactly 2"),
    ("weights-noise", (0.785, 1), "too sure"),
    ("weights-noise", (0.785, 2), "worth less"),
    # adapter
    ("adapter-recall-floor", 1 / 12, "one draw"),
    ("adapter-break-even", 50, "training"),
    # reward
    ("reward-loss", lambda m, t: len(m) * reversed_margin(-m, t), "the mean"),
    ("reward-loss", reversed_margin, "reversed"),
    ("reward-loss", unstable, "np.logaddexp"),
    ("reward-flip", lambda t, order, share: 1 - t, "All labels"),
    ("reward-flip", lambda t, order, share: t, "Nothing is flipped"),
    ("reward-flip", flips_first_of_the_array, "first pairs of the array"),
    ("reward-flip", flips_in_place, "was changed"),
    ("reward-agreement", 0.72, "agree, too"),
    # results
    ("results-interval", (True, False), "interval of the difference"),
    ("results-pairs", "ten", "ten dictionaries"),
    ("results-pairs", own(9), "9 pairs"),
    ("results-pairs", own(prompts=2), "Fewer than five prompts"),
    ("results-pairs", own(first=True), "A is better in 10 of ten"),
    ("results-pairs", own(longer=True), "always the longer"),
    ("results-pairs", own(preference=0), "as you see it"),
    ("results-wrong-label", lambda margin, known: np.abs(margin).argmax(), "not known"),
    ("results-wrong-label", lambda margin, known: (margin * known).argmax(), "its label is right"),
    ("results-wrong-label", lambda margin, known: (margin * known).argmin(), "−1"),
    # proofs
    ("proofs-majority", 0.756, "the two others right"),
    ("proofs-evidence", (0.48, 0.4), "not by σ"),
    # estimators
    ("estimators-permutations", 2000, "one less"),
    ("estimators-wilson", 0.9903, "squared"),
    # comparison
    ("comparison-weights", 1 / 3, "counts votes"),
    ("comparison-audit", 5, "60 say nothing"),
    # judge
    ("judge-kappa", 0.6, "chance"),
    ("judge-calibration", 0, "do not make up"),
    # quality
    ("quality-abstention", 0.48, "coin"),
    ("quality-tokens", 0.05, "reads the response again"),
    # performance
    ("performance-whole", 20, "other 96 %"),
    ("performance-padding", 0.61, "share of padding"),
    # readings
    ("readings-kappa", 2 / 3, "plain κ"),
    ("readings-loud", (0.18, 0.18), "its own small ones"),
    # evaluation
    ("evaluation-tie", 0.625, "counts as lost"),
    ("evaluation-gate", 1, "not sure"),
]


@pytest.mark.parametrize(("name", "answer", "hint"), MISTAKES)
def test_a_mistake_gets_its_hint(name, answer, hint):
    found = check(name, answer)
    assert found.state == "not right"
    assert hint in found.said


@pytest.mark.parametrize(
    "rule",
    [
        "The response contains at least three sentences.",
        "The response mentions that more evidence is needed.",
        "The response is longer than 300 characters.",
        "The response names a doctor or a lawyer.",
        "The response does not tell the user to throw the tyres away.",
        "A reply to this user names a lawful way.",
    ],
)
def test_a_rule_is_taken_for_its_form_and_told_that_the_form_is_not_all(rule):
    found = check("rules-rule", rule)
    assert found.state == "right"
    assert "no program can see" in found.said


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
    found = check("selection-top-k", lambda delta, k: delta[99])
    assert "IndexError" in found.said


def test_a_verdict_shows_itself_escaped():
    def answer(_):
        raise ValueError("<script>")

    shown = check("votes-information", answer)._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_an_exercise_that_is_not_there_is_an_error_of_the_page():
    with pytest.raises(ValueError, match="no exercise 'votes-x'; allowed: workbench-turn"):
        check("votes-x", 1)
