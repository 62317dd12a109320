"""What a run is about: pairs, rules and preferences as parameters name them, and what is noted."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit import runs

RULES = ["The response names a doctor.", "The response is polite.", "The response answers."]


def written(folder, n_prompts=6, per=4, known=True):
    """A JSONL file of pairs, `per` of each prompt, and a text file of three rules."""
    rows = []
    for i in range(n_prompts):
        for j in range(per):
            row = {
                "pair_id": f"p{i}-{j}",
                "prompt": f"Question {i}?",
                "response_a": f"See doctor {j}, please.",
                "response_b": f"No. {i} {j}",
            }
            rows.append(row | ({"preference": 1 if j % 2 else -1} if known else {}))
    pairs, rules = folder / "pairs.jsonl", folder / "rules.txt"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules.write_text("# three rules\n" + "\n".join(RULES) + "\n")
    return str(pairs), str(rules)


def test_pairs_and_rules_of_ones_own_are_read_and_nothing_is_noted(tmp_path):
    data = runs.load_inputs(*written(tmp_path))
    assert len(data.pairs) == 24
    assert data.rules.texts == RULES
    assert data.notes == ()
    assert (data.source, data.has_known, data.has_recorded) == ("", True, False)


@pytest.mark.parametrize(
    ("n_prompts", "per", "known", "enough"),
    [(5, 4, True, True), (4, 5, True, False), (19, 1, True, False), (6, 4, False, False)],
)
def test_accuracy_takes_twenty_known_pairs_of_five_prompts(tmp_path, n_prompts, per, known, enough):
    data = runs.load_inputs(*written(tmp_path, n_prompts, per, known))
    assert data.has_known == enough
    assert len(data.known) == (n_prompts * per if known else 0)
    assert bool(data.notes) != enough
    if not enough:
        assert "so nothing here says how often labels are right" in data.notes[0]
        assert ("for none of the 24" if not known else f"for {n_prompts * per} of") in data.notes[0]


def test_a_tie_and_an_unknown_preference_are_no_known_ones(tmp_path):
    path, rules = written(tmp_path)
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    for row, value in zip(rows, (0, None), strict=False):
        row["preference"] = value
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = runs.load_inputs(str(tmp_path / "some.jsonl"), rules)
    assert len(data.known) == 22


def test_known_preferences_of_a_file_take_the_place_of_those_of_the_pairs(tmp_path):
    pairs, rules = written(tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text("pair_id,preference\np0-0,1\np1-0,-1\n")
    data = runs.load_inputs(pairs, rules, str(labels))
    assert dict(zip(data.known["pair_id"], data.known["preference"], strict=True)) == {
        "p0-0": 1,
        "p1-0": -1,
    }


def test_pairs_without_rules_take_those_of_their_data_set_or_the_kits_and_that_is_said(tmp_path):
    pairs, _ = written(tmp_path)
    own = runs.load_inputs(pairs)
    assert own.rules == rk.RuleSet.load("embedded")
    assert "No rules were given" in own.notes[0]
    embedded = runs.load_inputs()
    assert embedded.notes == ()
    assert embedded.has_recorded
    assert not runs.load_inputs("embedded", written(tmp_path)[1]).has_recorded


def test_the_ratings_that_come_with_a_data_set_are_of_its_own_rules(real_data):
    data = runs.load_inputs("hh-rule-votes")
    assert len(data.rules) == 21
    assert data.has_recorded
    assert not runs.load_inputs("hh-rule-votes", "embedded").has_recorded


def test_notes_are_kept_under_a_name_and_collected_each_once(tmp_path):
    artefacts = tmp_path / "artefacts"
    runs.save_notes(artefacts, "a", ["First.", "Second."])
    runs.save_notes(artefacts, "b", ["Second.", "Third."])
    runs.save_notes("", "c", ["Nowhere."])
    assert runs.collect_notes(tmp_path) == ["First.", "Second.", "Third."]
    runs.save_notes(artefacts, "a", [])
    assert runs.collect_notes(tmp_path) == ["Second.", "Third."]
    with pytest.raises(ValueError, match="no path"):
        runs.save_notes(artefacts, "../a", [])


def test_inputs_give_their_known_pairs_in_the_order_of_the_file(tmp_path):
    data = runs.load_inputs(*written(tmp_path))
    assert data.known.equals(data.pairs)
    assert data.n_known_prompts == 6
    assert np.unique(data.known["preference"]).tolist() == [-1, 1]
    assert isinstance(data.known, pl.DataFrame)
