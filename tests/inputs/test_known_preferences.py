"""Known preferences for some pairs come from a file of their own."""

import polars as pl
import pytest

from rulekit.inputs import add_preferences
from tests.inputs.test_readers import write

PAIRS = pl.DataFrame(
    {
        "pair_id": ["1", "2", "c"],
        "prompt": ["q", "r", "s"],
        "response_a": ["x", "x", "x"],
        "response_b": ["y", "y", "y"],
        "preference": [1, 1, 1],
        "note": ["n", "o", "p"],
    }
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "pair_id,preference\n2,-1\nc,0\n"),
        ("l.csv", "pair_id;winner;who\n2;model_b;me\nc;tie;me\n"),
        ("l.csv", "preference,pair_id\n-1.0,2\n0.0,c\n,1\n"),
        ("l.jsonl", '{"pair_id": 2, "preference": -1}\n{"pair_id": "c", "preference": 0}\n'),
    ],
)
def test_a_file_replaces_the_preferences_of_the_pairs(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    found = add_preferences(PAIRS, tmp_path / name)
    assert found["preference"].to_list() == [None, -1, 0]
    assert found["preference"].dtype == pl.Int8
    assert found.drop("preference").equals(PAIRS.drop("preference"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"pair_id": "d", "preference": 1},
            "column 'pair_id' is 'd'; allowed: an id of the 3 pairs",
        ),
        (
            {"pair_id": "1", "preference": 1},
            "column 'pair_id' is '1', as in line 1; allowed: every pair once",
        ),
        ({"pair_id": "2", "preference": 2}, "column 'preference' is 2; allowed: +1, 0, -1 or null"),
        ({"pair_id": "2", "preference": True}, "column 'preference' is True"),
        ({"pair_id": "2", "winner": "x"}, "column 'winner' is 'x'; allowed: model_a"),
        (
            {"pair_id": "2", "winner": "a", "preference": 1},
            "both 'preference' and 'winner' are there",
        ),
        (
            {"pair_id": "2", "label": 1},
            "its columns are 'pair_id', 'label'; allowed: pair_id, preference",
        ),
        ({"pair_id": None, "preference": 1}, "column 'pair_id' is None; allowed: the id of a pair"),
        ("{broken", "not valid JSON"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, message):
    path = write(tmp_path / "l.jsonl", {"pair_id": "1", "preference": 1}, row)
    with pytest.raises(ValueError, match=r"l\.jsonl, line 2: ") as error:
        add_preferences(PAIRS, path)
    assert message in str(error.value)


def test_a_file_that_is_missing_or_empty_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no such file: .*allowed: a file with the columns pair_id"
    ):
        add_preferences(PAIRS, tmp_path / "l.csv")
    (tmp_path / "l.csv").write_text("pair_id,preference\n")
    with pytest.raises(ValueError, match=r"l\.csv: no preferences in it"):
        add_preferences(PAIRS, tmp_path / "l.csv")
