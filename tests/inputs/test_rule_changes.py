"""Two versions of a rule set: what became of each rule, and which ratings still hold."""

import json

import pytest

from rulekit.inputs import CHANGES, Rule, RuleSet, diff_rules, rule_stats

OLD = RuleSet(
    (
        Rule("dose", "The response names a dose."),
        Rule("polite", "The response is polite."),
        Rule("doctor", "The response says to see a doctor."),
        Rule("gone", "The response ends with a question."),
        Rule("weight", "The response is short.", weight=1.0),
    )
)
NEW = RuleSet(
    (
        Rule("weight", "The response is short.", "style", weight=2.0),
        Rule("dose", "The response names the right dose in mg."),
        Rule("courteous", "The response is polite."),
        Rule("doctor", "The response says to see a doctor."),
        Rule("new", "The response cites a source."),
    )
)


def test_every_rule_is_told_in_the_order_of_the_new_set():
    found = diff_rules(OLD, NEW)
    assert found.select("rule", "change").rows() == [
        ("weight", "unchanged"),
        ("dose", "reworded"),
        ("courteous", "renamed"),
        ("doctor", "unchanged"),
        ("new", "added"),
        ("gone", "removed"),
    ]
    assert set(found["change"]) == set(CHANGES)
    by_rule = {row["rule"]: row for row in found.iter_rows(named=True)}
    said = by_rule["dose"]["difference"]
    assert said == "The response names [-a dose.-] {+the right dose in mg.+}"
    assert by_rule["courteous"]["difference"] == "id polite → courteous"
    assert by_rule["weight"]["difference"] == "category uncategorised → style; weight 1.0 → 2.0"
    assert (by_rule["new"]["old"], by_rule["gone"]["new"]) == (None, None)


def test_rules_rated_anew_are_those_whose_digest_is_none_of_the_old():
    found = diff_rules(OLD, NEW)
    anew = {i for i, d in zip(NEW.ids, NEW.digests, strict=True) if d not in OLD.digests}
    assert set(found.filter(found["change"].is_in(["added", "reworded"]))["rule"]) == anew


def test_a_set_beside_itself_and_texts_that_change_places():
    assert set(diff_rules(OLD, OLD)["change"]) == {"unchanged"}
    a, b = "The response is kind.", "The response is calm."
    one = RuleSet((Rule("x", a), Rule("y", b)))
    swapped = diff_rules(one, RuleSet((Rule("x", b), Rule("y", a))))
    assert swapped["change"].to_list() == ["reworded", "reworded"]
    spaced = diff_rules(one, RuleSet((Rule("x", a.replace(" ", "  ")), Rule("y", b))))
    assert spaced["difference"][0] == "(only the spacing differs)"


def test_half_a_character_is_shown_as_a_question_mark():
    half = RuleSet((Rule("x", "The response has \ud83d in it."),))
    assert diff_rules(half, half)["new"].to_list() == ["The response has ? in it."]


def test_stats_count_what_is_in_a_set(tmp_path):
    rules = RuleSet(
        (
            Rule("a", "The response is kind.", "style", 2.0, ("one", "two")),
            Rule("b", "The response never names a dose.", "health", -1),
            Rule("c", "The response names the dose that a doctor prescribed.", "health"),
        )
    )
    found = rule_stats(rules)
    assert (found["rules"], found["hash"]) == (3, rules.hash)
    assert found["categories"] == {"health": 2, "style": 1}
    assert found["words"] == {"min": 4, "median": 6.0, "max": 9}
    assert (found["shortest"], found["longest"], found["negated"]) == ("a", "c", 1)
    assert (found["with_examples"], found["examples"]) == (1, 2)
    assert found["weights"] == {"min": -1, "max": 2.0, "other_than_1": 2, "negative": 1}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("name", ["embedded", "openai-rbr"])
def test_stats_and_differences_of_the_kits_own_rules(name):
    rules = RuleSet.load(name)
    assert rule_stats(rules)["rules"] == len(rules)
    assert set(diff_rules(rules, rules)["change"]) == {"unchanged"}
