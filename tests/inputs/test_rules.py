"""Rule sets: the embedded one is what its card says; bad files are refused by name."""

import pytest

import rulekit as rk


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
        ("- {id: no, text: x}", "id is False, no text to YAML; allowed: quote it, as in id: 'no'"),
        ("- {id: 1, text: x}", "id is 1, no text to YAML; allowed: quote it, as in id: '1'"),
        ("- {id: a, text: yes}", "allowed: quote it, as in text: 'yes'"),
        ("[", "not readable as YAML"),
    ],
)
def test_a_bad_rule_file_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"r\.yaml") as error:
        rk.RuleSet.load(path)
    assert message in str(error.value)


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
