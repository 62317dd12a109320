"""Texts are data: what looks like markup, commands or nothing at all is read as it is written."""

import json

import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import check_rules, describe, diff_rules, rule_stats
from tests.inputs.test_layouts import battle, said, user
from tests.inputs.test_readers import write

HOSTILE = {
    "markup": "<script>alert(1)</script> <b>&amp; ]]> --> </td>",
    "mathematics": r"$x$ $$\frac{1}{0}$$ \(y\) **bold** `code` {{ jinja }} %s {0}",
    "ANSI codes": "\x1b[31mred\x1b[2J\x07\x08",
    "right to left": "a\u202eb\u2066c\u200f שלום \ufeff\u200b",
    "a long word": "w" * 10_000,
    "empty lines": "\n\n\r\n  one\n\n\n\t\n",
    "separators": "a,b;c\t\"d\" 'e' \u2028 \u2029 \x85 \x0c \x1e",
    "a formula of a table": "=1+1",
    "JSON": '["a", {"b": null}]',
    "emoji": "👩\u200d👩\u200d👧 e\u0301 𐍈",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_texts_go_through_every_format_unchanged(tmp_path, name, ending):
    text = HOSTILE[name]
    frame = pl.DataFrame(
        {
            "pair_id": ["p"],
            "prompt": [f"q{text}"],
            "response_a": [f"a{text}"],
            "response_b": [f"b{text}"],
            "preference": [1],
            "note": [f"n{text}"],
        }
    )
    path = tmp_path / f"p.{ending}"
    getattr(
        frame, {"jsonl": "write_ndjson", "parquet": "write_parquet", "csv": "write_csv"}[ending]
    )(path)
    assert rk.load_pairs(path).equals(frame.cast({"preference": pl.Int8}))
    assert describe(path).pairs == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_go_through_every_layout_unchanged(tmp_path, name):
    text = HOSTILE[name]
    prompt, a, b = f"q{text}", f"a{text}", f"b{text}"
    rows = [
        battle(
            "model_a",
            conversation_a=[user(prompt), said(a)],
            conversation_b=[user(prompt), said(b)],
        ),
        {"question": prompt, "answer_a": a, "answer_b": b, "winner": "a"},
        {"context": [user(prompt)], "response1": a, "response2": b, "overall_preference": -1},
        {"prompt": prompt, "responses": [a, b], "scores": [2, 1]},
        {"prompt": prompt, "chosen": a, "rejected": b},
        {"prompt": prompt, "chosen": [user(prompt), said(a)], "rejected": [user(prompt), said(b)]},
        {"prompt": prompt, "response": a, "score": 2},
        {"prompt": prompt, "response": b, "score": 1},
    ]
    found = rk.load_pairs(write(tmp_path / "p.jsonl", *rows))
    assert found.select("response_a", "response_b", "preference").rows() == [(a, b, 1)] * 7
    assert {p[0]["content"] for p in found["prompt"]} == {prompt}


@pytest.mark.parametrize("name", HOSTILE)
def test_rules_keep_their_texts_on_the_disk_and_in_a_check(tmp_path, name):
    text = HOSTILE[name]
    rules = rk.RuleSet.from_texts([f"The response has {text}.", f"The response has no {text}."])
    assert rk.RuleSet.load(rules.save(tmp_path / "r.yaml")).texts == rules.texts
    other = rk.RuleSet.from_texts([f"The response has {text}!", rules.texts[1]])
    changes = diff_rules(rules, other)
    assert changes["change"].to_list() == ["reworded", "unchanged"]
    assert changes["new"].to_list() == other.texts
    json.dumps(rule_stats(rules))
    check_rules(rules, near_duplicates=False)


def test_a_line_of_rules_ends_at_its_line_feed_alone(tmp_path):
    texts = [
        f"The response has {HOSTILE[n]}"
        for n in ("markup", "ANSI codes", "right to left", "separators")
    ]
    (tmp_path / "r.txt").write_text("\n".join(texts), encoding="utf-8")
    assert rk.RuleSet.load(tmp_path / "r.txt").texts == [t.strip() for t in texts]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_error_shows_no_control_characters(tmp_path, name):
    row = {"prompt": "q", "response_a": "x", "response_b": "y", "winner": HOSTILE[name] + "?"}
    with pytest.raises(ValueError, match="column 'winner' is") as error:
        rk.load_pairs(write(tmp_path / "p.jsonl", row))
    assert str(error.value).removeprefix(str(tmp_path)).isprintable()
    assert len(str(error.value)) < 400
