"""Rule sets: the embedded one is what its card says; bad files are refused by name."""

import pytest
import yaml

import rulekit as rk
from rulekit.inputs import rule_ids


@pytest.fixture(scope="module")
def rules():
    return rk.RuleSet.load("embedded")


def test_one_hundred_absolute_rules_in_twelve_categories_without_near_duplicates(rules):
    assert (len(rules), len(set(rules.categories))) == (100, 12)
    assert rules.superlatives() == {}
    assert rk.studies.near_duplicates(rules, 0.85) == []


def test_superlatives_and_near_duplicates_are_found():
    found = rk.RuleSet.from_texts(["It is the best answer.", "It helps.", "It is at least honest."])
    assert found.superlatives() == {"r000": "best"}
    twins = ["The response is polite to the user.", "The response is polite towards the user."]
    assert len(rk.studies.near_duplicates(rk.RuleSet.from_texts(twins))) == 1


def test_rules_survive_the_disk_and_their_hash_follows_the_texts(rules, tmp_path):
    back = rk.RuleSet.load(rules.save(tmp_path / "r.yaml"))
    assert back == rules
    assert back.hash == rules.hash
    assert rk.RuleSet.from_texts(["a", "b"]).hash != rk.RuleSet.from_texts(["a", "c"]).hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: 3", "a list of rules"),
        ("- {id: a}", "rule 1"),
        ("- {id: a, text: x, colour: red}", "rule 1"),
        ("- {id: a, text: x}\n- {id: a, text: y}", "its id is already that of rule 1"),
        ("- {id: a, text: x}\n- {id: b, text: ' X'}", "its text is already that of rule 1"),
        ("- {id: a, text: x, weight: heavy}", "weight is 'heavy'"),
        ("- {id: a, text: x, weight: yes}", "weight is True; allowed: a finite number"),
        ("- The response is kind.", "bare texts belong into a text file (.txt), one a line"),
        ("- {id: no, text: x}", "id is False, no text to YAML; allowed: quote it, as in id: 'no'"),
        ("- {id: 1, text: x}", "id is 1, no text to YAML; allowed: quote it, as in id: '1'"),
        ("- {id: a, text: yes}", "allowed: quote it, as in text: 'yes'"),
        ("[", "not readable as YAML"),
        ("a: 'x\n\n  y: [", "not readable as YAML"),
        ("- {id: a, text: x, examples: yes}", "examples is True; allowed: a list of texts"),
        ("- {id: a, text: x, examples: one}", "examples is 'one'; allowed: a list of texts"),
        ("- {id: a, text: x, examples: [1]}", "examples is [1]; allowed: a list of texts"),
        (
            "- {id: 2026-01-01, text: x}",
            "id is datetime.date(2026, 1, 1); allowed: a non-empty string",
        ),
    ],
)
def test_a_bad_rule_file_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"r\.yaml") as error:
        rk.RuleSet.load(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


TEXTS = """# Rules of a clinic

The response names the dose of a medicine.
  The response does not state a diagnosis.  \r
# The response is polite.
The response says to see a doctor when symptoms last.
"""


def lines(tmp_path, text, name="r.txt"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_text_file_has_a_rule_a_line_and_ids_made_from_the_texts(tmp_path):
    found = rk.RuleSet.load(lines(tmp_path, TEXTS))
    assert found.texts == [
        "The response names the dose of a medicine.",
        "The response does not state a diagnosis.",
        "The response says to see a doctor when symptoms last.",
    ]
    assert found.ids == [
        "names-dose-medicine",
        "not-state-diagnosis",
        "says-see-doctor-symptoms-last",
    ]
    assert rk.RuleSet.load(found.save(tmp_path / "r.yaml")) == found


def test_ids_from_texts_are_short_unique_and_stay_when_rules_come_and_go(rules):
    ids = rule_ids(rules.texts)
    assert len(set(ids)) == 100
    assert max(map(len, ids)) <= 40
    assert rule_ids(rules.texts[50:]) == ids[50:]
    twins = ["The response is polite.", "Was the response polite?", "Is it polite!"]
    first, *others = rule_ids(twins)
    assert first == "polite"
    assert len(set(others)) == 2
    assert rule_ids([twins[0], twins[2]])[1] == others[1]  # of its own text, not its place


def test_ids_from_texts_are_texts_to_yaml_in_any_language(tmp_path):
    texts = [
        "No.",
        "Yes",
        "On it",
        "12",
        "1e3",
        "null",
        "...",
        "!?",
        "回答不得包含医疗建议",
        "Ответ вежлив",
    ]
    ids = rule_ids([*texts, "2026-01-01", "y", "~", "w" * 10_000])
    assert all(isinstance(yaml.safe_load(i), str) for i in ids)
    assert len(set(ids)) == len(ids)
    assert {"回答不得包含医疗建议", "ответ-вежлив"} <= set(ids)
    assert rk.RuleSet.load(lines(tmp_path, "\n".join(texts))).texts == texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a b c\n\n# x\n A  b C\n",
            "line 4: its text is already that of line 1; allowed: every rule",
        ),
        ("# nothing\n\n", "a rule set needs at least one rule"),
        ("", "a rule set needs at least one rule"),
        ("é".encode("latin-1"), "not UTF-8 (byte 0xe9); allowed: a file in UTF-8"),
    ],
)
def test_a_bad_text_file_is_refused_by_name_and_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=r"r\.txt: ") as error:
        rk.RuleSet.load(lines(tmp_path, content))
    assert message in str(error.value)


def test_a_rule_file_that_is_no_utf_8_or_has_a_byte_order_mark(tmp_path):
    with pytest.raises(ValueError, match=r"r\.yaml: not UTF-8 \(byte 0xe9\)"):
        rk.RuleSet.load(lines(tmp_path, "- {id: a, text: é}".encode("latin-1"), "r.yaml"))
    assert rk.RuleSet.load(lines(tmp_path, "\ufeffBe kind.")).texts == ["Be kind."]


def test_rule_sets_are_loaded_by_their_names_and_a_missing_file_lists_them():
    assert len(rk.RuleSet.load("openai-rbr")) == 23
    with pytest.raises(FileNotFoundError, match=r"no such file: x\.yaml; allowed: .*embedded"):
        rk.RuleSet.load("x.yaml")


@pytest.mark.real_data
def test_the_rules_of_a_source_are_those_of_its_ratings(real_data):
    for name in ("embedded", "hh-rule-votes"):
        rules, scores = rk.sources.load_ratings(name)
        assert rk.RuleSet.load(name) == rules
        assert scores.identity.rules_hash == rules.hash


@pytest.mark.parametrize(
    "text",
    [
        "It greets.\n\n# a note\nIt is short.",
        "- It greets.\n* It is short.",
        "1. It greets.\n2) It is short.\n",
        "rules:\n- {id: greets, text: It greets.}\n- {id: short, text: It is short.}",
    ],
    ids=["lines", "bullets", "numbers", "yaml"],
)
def test_what_somebody_pastes_is_read_as_lines_or_as_yaml(text):
    found = rk.RuleSet.from_text(text)
    assert found.texts == ["It greets.", "It is short."]
    assert found.ids == ["greets", "short"]


def test_a_rule_may_hold_a_colon_and_a_pasted_yaml_is_checked():
    assert rk.RuleSet.from_text("It says: no.\nIt says: yes.").texts == [
        "It says: no.",
        "It says: yes.",
    ]
    with pytest.raises(ValueError, match="rule 1"):
        rk.RuleSet.from_text("- {text: It greets.}")
    with pytest.raises(ValueError, match="at least one rule"):
        rk.RuleSet.from_text("# nothing\n")
