"""How rule sets, scores, selections, labels and estimates show themselves; votes, ids, dialogues."""

from xml.etree import ElementTree

import jinja2
import numpy as np
import pytest

import rulekit as rk
from rulekit.inputs import NO_VOTE, dialogue, numbered_ids, prompt_text, votes
from rulekit.tables import SHOWN, evenly_spaced, html_table

NASTY = "<script>alert('é & \"x\"')</script>"
DIALOGUE = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello, you."},
    {"role": "assistant", "content": "Hello."},
]


def values(n_pairs: int, n_rules: int = 30) -> dict[str, object]:
    rng = np.random.default_rng(0)
    delta = rng.uniform(-1, 1, (n_pairs, n_rules)).astype(np.float32)
    delta[:, 0] = 0
    scores = rk.Scores.from_discrepancy(
        delta,
        rule_ids=[f"{NASTY}{j}" for j in range(n_rules)],
        pair_ids=[f"pair-{i}" for i in range(n_pairs)],
    )
    chosen = rk.select(scores, k=3)
    seen = np.arange(min(n_pairs, 1000))
    known = np.where(np.arange(n_pairs) < 50, np.sign(delta.sum(axis=1)), 0)
    return {
        "RuleSet": rk.RuleSet.from_texts([f"{NASTY} {i}" for i in range(n_rules)], NASTY),
        "Scores": scores,
        "Selection": chosen,
        "Labels": rk.label(scores, chosen),
        "Estimates": rk.estimate(scores.rows(seen), known[seen], "moments"),
    }


@pytest.fixture(scope="module")
def small() -> dict[str, object]:
    return values(60)


@pytest.fixture(scope="module")
def large() -> dict[str, object]:
    return values(100_000)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("kind", ["RuleSet", "Scores", "Selection", "Labels", "Estimates"])
def test_a_value_is_described_in_one_short_line_without_ids(request, kind, size):
    value = request.getfixturevalue(size)[kind]
    assert repr(value).startswith(f"{kind}(")
    assert repr(value).endswith(")")
    assert len(repr(value)) <= 130
    assert "\n" not in repr(value)
    assert "pair-" not in repr(value)
    assert NASTY not in repr(value)
    assert str(value) == repr(value)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("kind", ["RuleSet", "Scores", "Selection", "Labels", "Estimates"])
def test_a_notebook_shows_a_short_table_that_is_well_formed_and_escaped(request, kind, size):
    value = request.getfixturevalue(size)[kind]
    html = value._repr_html_()
    table = parsed(html)
    widths = {
        sum(int(cell.get("colspan", 1)) for cell in row) for row in table.iter() if row.tag == "tr"
    }
    assert len(widths) == 1
    assert 3 <= len(table.findall("tbody/tr")) <= SHOWN + 2
    assert text_of(table.find("caption")).startswith(repr(value))
    assert "<script" not in html
    assert len(html) <= 6000


def test_descriptions_say_sizes_method_and_ranges(small):
    scores, labels, estimates = small["Scores"], small["Labels"], small["Estimates"]
    low, high = scores.discrepancy.min(), scores.discrepancy.max()
    assert repr(scores) == (
        f"Scores(60 pairs × 30 rules, without relevance, δ from {low:.3g} to {high:.3g})"
    )
    assert repr(small["Selection"]) == "Selection(max_discrepancy, 3 of 30 rules for 60 pairs)"
    assert repr(small["RuleSet"]) == (
        f"RuleSet(30 rules in 1 category, hash {small['RuleSet'].hash[:8]})"
    )
    first, second = (labels.preference > 0).sum(), (labels.preference < 0).sum()
    assert repr(labels) == (
        f"Labels(60 pairs: {first} first, {second} second, 0 tied; tie='abstain', "
        f"mean confidence {labels.confidence.mean():.3f})"
    )
    assert repr(estimates) == (
        "Estimates(moments, 30 rules, 50 labelled pairs, power 1, "
        f"μ from {estimates.mu.min():.3g} to {estimates.mu.max():.3g})"
    )
    fixed = rk.select(scores, k=2, method="discriminant", estimates=estimates)
    assert repr(fixed).endswith("60 pairs, the same for all)")


def test_a_large_table_is_described_by_evenly_spaced_pairs_and_says_so(large):
    assert "in 10,000 of the pairs" in repr(large["Scores"])
    assert "10,000 pairs" in large["Selection"]._repr_html_()
    for n in (1, 9_999, 10_000, 10_001, 25_000, 10_000_000):
        seen = len(range(n)[evenly_spaced(n)])
        assert min(n, 5_000) <= seen <= 10_000


def parsed(html: str) -> ElementTree.Element:
    """HTML as XML: the places where a line may break have no end in HTML."""
    return ElementTree.fromstring(html.replace("<wbr>", ""))


def text_of(element) -> str:
    return "".join(element.itertext())


def rows_of(value) -> list[list[str]]:
    table = parsed(value._repr_html_())
    return [[text_of(cell) for cell in row] for row in table.findall("tbody/tr")]


def test_the_table_of_scores_counts_zeros_and_decisive_ratings():
    scores = rk.Scores(np.array([[1, 0.5], [0, 0.5]]), np.array([[-1, 0.5], [0, 0.2]]))
    assert rows_of(scores) == [
        ["all rules", "4", "0.575", "2.000", "50.0%", "25.0%"],
        ["r000", "2", "1.000", "2.000", "50.0%", "50.0%"],
        ["r001", "2", "0.150", "0.300", "50.0%", "0.0%"],
    ]


def test_the_table_of_scores_counts_what_was_rated():
    a = np.array([[1, np.nan], [0, np.nan]])
    scores = rk.Scores(a, -a, rated=~np.isnan(a))
    assert rows_of(scores)[1:] == [
        ["r000", "2", "1.000", "2.000", "50.0%", "50.0%"],
        ["r001", "0", "–", "–", "–", "–"],
    ]


def test_the_table_of_a_selection_has_the_most_chosen_rules_first():
    chosen = rk.Selection(np.array([[2, 0], [2, 1], [0, 2], [2, 0]]), "given", 4)
    assert rows_of(chosen) == [
        ["2", "100.0%", "75.0%"],
        ["0", "75.0%", "25.0%"],
        ["1", "25.0%", "0.0%"],
        ["3", "0.0%", "0.0%"],
    ]


def test_the_table_of_labels_has_a_row_for_each_preference_that_occurs():
    scores = rk.Scores.from_discrepancy(np.array([[1.0], [0.5], [0.0], [0.0]]))
    labels = rk.label(scores, rk.select(scores, k=1))
    counts = [row[:2] for row in rows_of(labels)]
    assert counts == [["+1, the first response", "2"], ["0, a tie", "2"], ["all", "4"]]
    assert rows_of(labels)[0][3] == "0.750"
    none_left = rk.label(scores.rows([2, 3]), rk.select(scores.rows([2, 3]), k=1), tie="drop")
    assert rows_of(none_left) == [["all", "0", "–", "–"]]
    assert repr(none_left) == "Labels(0 pairs: 0 first, 0 second, 0 tied; tie='drop')"


def test_the_table_of_estimates_has_the_heaviest_rules_first():
    estimates = rk.Estimates(np.array([0.1, -0.8, 0.3]), np.diag([1.0, 4.0, 0.25]), 0, "given")
    assert rows_of(estimates) == [
        ["2", "0.300", "0.500", "2.400"],
        ["1", "-0.800", "2.000", "-0.400"],
        ["0", "0.100", "1.000", "0.200"],
    ]


def test_a_table_counts_the_rows_that_it_does_not_show():
    html = html_table("a < b", ("<x>", "y"), [(1, "&"), (2, None)], 1_002)
    table = parsed(html)
    assert text_of(table.find("caption")) == "a < b"
    assert [text_of(cell) for cell in table.findall("thead/tr/th")] == ["<x>", "y"]
    assert [text_of(cell) for cell in table.iter("td")] == ["1", "&", "2", "None", "… 1,000 more"]
    assert "more" not in html_table("c", ("x",), [(1,)], 1)


def test_a_vote_needs_a_discrepancy_that_float32_can_tell_from_zero():
    delta = np.array([[-1.0, -6e-7, -NO_VOTE], [-4e-7, 0.0, 4e-7], [NO_VOTE, 6e-7, 2.0]])
    expected = [[-1, -1, 0], [0, 0, 0], [0, 1, 1]]
    for kind in (np.float32, np.float64):
        assert votes(delta.astype(kind)).tolist() == expected
        assert votes(delta.astype(kind)).dtype == np.float64
    assert NO_VOTE == 5e-7
    assert votes([1.4e-6, 1.6e-6, -1.6e-6], 3).tolist() == [0, 1, -1]


@pytest.fixture(scope="module")
def faint() -> tuple[rk.Scores, np.ndarray]:
    """Rule 0 is always right and below the threshold, rule 1 right in 3 of 4 and above it."""
    y = np.tile([1.0, -1.0], 100)
    right = np.where(np.arange(200) % 4 < 3, y, -y)
    return rk.Scores.from_discrepancy(np.stack([y * 4e-7, right * 0.5], axis=1)), y


def test_every_reader_of_votes_ignores_what_is_below_the_threshold(faint):
    scores, y = faint
    assert not scores.votes[:, 0].any()
    for method in ("static", "mrmr", "jmi", "cmim", "greedy_cmi"):
        chosen = rk.select(scores, 1, method, reference=scores, preference=y)
        assert (chosen.indices == 1).all(), method
    only_faint = rk.Selection(np.zeros((200, 1), int), "given", 2)
    for method in ("sum", "majority"):
        assert not rk.label(scores, only_faint, method).preference.any(), method
    both = rk.Selection(np.tile([0, 1], (200, 1)), "given", 2)
    assert rk.label(scores, both, "majority").margin.tolist() == scores.votes[:, 1].tolist()
    assert rk.label(scores, only_faint, "dawid_skene").confidence == pytest.approx(0.5)
    assert rk.sign_audit(scores, y)["votes"].to_list() == [0, 200]
    for power in (1.0, 0.5):
        believed = rk.Estimates(np.ones(2), 2 * np.eye(2), 0, "given", power)
        x = believed.transform(scores.discrepancy)
        assert not x[:, 0].any()
        assert x[:, 1] == pytest.approx(np.sign(scores.discrepancy[:, 1]) * 0.5**power)


def test_rules_without_names_are_numbered_alike_everywhere(tmp_path):
    names = ["r000", "r001", "r002"]
    assert numbered_ids(3) == names
    assert numbered_ids(1001)[-1] == "r1000"
    assert rk.RuleSet.from_texts(["a", "b", "c"]).ids == names
    scores = rk.Scores.from_discrepancy(np.ones((2, 3)))
    assert scores.names == names
    assert rk.Scores.read(scores.write(tmp_path / "whole")).rule_ids == tuple(names)
    blocks = rk.Scores.read(rk.Scores.write_batches(tmp_path / "blocks", [scores, scores]))
    assert blocks.rule_ids == tuple(names)
    assert rk.sign_audit(scores, [1, 1])["rule"].to_list() == names
    explained = rk.studies.explain_pair(scores, rk.select(scores, k=1), 0)
    assert explained["rule"].to_list() == names
    named = rk.Scores.from_discrepancy(np.ones((2, 2)), rule_ids=["kind", "true"])
    assert named.names == ["kind", "true"]


def test_a_dialogue_names_its_speakers_the_same_way_everywhere():
    from rulekit.judges import prompts
    from rulekit.training.models import PLAIN_TEMPLATE

    text = "System: Be kind.\n\nUser: Hello, you.\n\nAssistant: Hello."
    assert dialogue(DIALOGUE) == prompt_text(DIALOGUE) == text
    assert dialogue("Hello.") == "User: Hello."
    assert prompt_text("Hello.") == "Hello."
    assert prompt_text([DIALOGUE[0]]) == "System: Be kind."
    template = jinja2.Environment().from_string(PLAIN_TEMPLATE)
    assert template.render(messages=DIALOGUE) == text
    asked = prompts.template_named(prompts.DEFAULT).messages(DIALOGUE, "A response.", "A rule.")
    assert f"<conversation>\n{text}\n</conversation>" in asked[0]["content"]
