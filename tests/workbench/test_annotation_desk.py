"""The annotation desk without a front end: data and picture follow from the file of answers."""

import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import append_answer, read_answers
from rulekit.workbench.annotation_desk import DeskState


@pytest.fixture
def desk(rated, tmp_path):
    """Makes a desk over 60 pairs and one file."""
    pairs, rules, scores = rated
    pairs = pairs.head(60)
    return lambda **how: rk.workbench.desk(
        pairs, rules, scores.of(pairs), path=tmp_path / "l.jsonl", **{"person": "ann", **how}
    )


def shown(tool) -> str:
    return "".join(part.data for part in tool.picture())


def test_pressed_keys_are_on_the_disk_and_the_state_follows(desk, tmp_path):
    tool = desk()
    first = tool.state
    assert (first.answered, first.said) == (0, "")
    for key in "abxus":
        tool.press(key)
    assert tool.state.answered == 3
    assert tool.state.said.endswith("skip")
    assert len(read_answers(tmp_path / "l.jsonl")) == 3
    assert desk().state == DeskState(tool.state.pair, 3)  # a new kernel goes on
    data = tool.data()
    assert data["question"].pair_id == tool.state.pair
    assert data["counts"].rows() == [("ann", 2, 1)]
    assert data["progress"].n_labelled == 2


def test_the_picture_has_the_question_and_what_labels_brought(desk):
    tool = desk()
    tool.press("a")
    html = shown(tool)
    assert "Which response is better?" in html
    assert "1 label so far" in html
    assert "ann 1 answered, 0 skipped" in html
    assert "Agreement" not in html
    other = desk(person="bob")
    for _ in range(6):
        other.press("a")
    assert "Agreement beyond chance" in shown(other)


def test_texts_and_names_are_only_texts(rated, tmp_path):
    bad = "<img src=x onerror=alert(1)>"
    pairs = rated[0].head(5).with_columns(response_a=pl.lit(bad))
    tool = rk.workbench.desk(pairs, path=tmp_path / "l.jsonl", person=bad)
    tool.press("a")
    assert bad not in shown(tool)
    tool.widget()
    tool._tell()
    assert bad not in tool._desk.shown["question"] + tool._progress.value


def test_controls_show_what_the_picture_shows_and_a_key_for_a_pair_not_shown_is_refused(
    desk, tmp_path
):
    tool = desk()
    tool.widget()
    asked = tool._desk.shown["asked"]
    tool._desk._handle_custom_msg({"key": "a", "asked": asked}, [])
    assert tool.state.answered == 1
    assert "1 saved" in tool._desk.shown["said"]
    tool._desk._handle_custom_msg({"key": "b", "asked": asked}, [])  # pressed twice in haste
    assert len(read_answers(tmp_path / "l.jsonl")) == 1
    assert "nothing was saved for it" in tool.notice.value
    tool._tell()  # what a running event loop would do a moment later
    assert "1 label so far" in tool._progress.value


def test_ratings_are_checked_by_hand(desk, tmp_path):
    tool = desk(check=True)
    assert "Is this true of response" in shown(tool)
    tool.press("y")
    tool.press("n")
    assert read_answers(tmp_path / "l.jsonl")["verdict"].to_list() == ["yes", "no"]
    assert tool.data()["progress"] is None


def test_all_answered_is_said(rated, tmp_path):
    tool = rk.workbench.desk(rated[0].head(1), path=tmp_path / "l.jsonl", person="ann")
    tool.press("x")
    assert tool.state.pair == ""
    assert "Every question has been answered or skipped." in shown(tool)


def test_another_persons_answer_is_seen_at_once(desk, tmp_path):
    tool = desk()
    pair_id = tool.data()["question"].pair_id
    append_answer(tmp_path / "l.jsonl", {"person": "bob", "pair_id": pair_id, "preference": 1})
    assert tool.data()["counts"].rows() == [("bob", 1, 0)]
    assert tool.data()["progress"].n_labelled == 1
