"""Layouts of published data sets: which is recognised, and which pairs a row becomes."""

import json

import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import LAYOUTS, describe
from tests.inputs.test_readers import GOOD, write


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


def battle(winner, **more):  # as lmarena-ai publishes it
    return {
        "question_id": "q1",
        "model_a": "m1",
        "model_b": "m2",
        "winner": winner,
        "conversation_a": [user("hi"), said("x")],
        "conversation_b": [user("hi"), said("y")],
        "turn": 1,
        "language": "English",
    } | more


CONTEXT = [user("first"), said("then"), user("hi")]
STEERED = {"domain": "code", "context": CONTEXT, "response1": "x", "response2": "y"}
# layout, rows as they are published, the (response_a, response_b, preference) of their pairs
PUBLISHED = {
    "arena, conversations": (
        "arena",
        [battle(w) for w in ("model_a", "model_b", "tie", "tie (bothbad)", "both_bad", None)],
        [("x", "y", p) for p in (1, -1, 0, 0, 0, None)],
    ),
    "arena, one text a response": (
        "arena",
        [
            {"question": "hi", "answer_a": "x", "answer_b": "y", "winner": "a"},
            {"prompt": "hi", "response_a": "x", "response_b": "y", "winner": "B"},
        ],
        [("x", "y", 1), ("x", "y", -1)],
    ),
    "arena, three columns for the winner": (
        "arena",
        [
            {
                "prompt": json.dumps(["hi"]),
                "response_a": json.dumps(["x"]),
                "response_b": json.dumps(["y"]),
                "winner_model_a": 0,
                "winner_model_b": 1,
                "winner_tie": 0,
            }
        ],
        [("x", "y", -1)],
    ),
    "SafeRLHF, the place of the better one": (
        "arena",
        [
            {"prompt": "hi", "response_0": "x", "response_1": "y", "better_response_id": i}
            for i in (0, 1)
        ],
        [("x", "y", 1), ("x", "y", -1)],
    ),
    "HelpSteer3, -3 is the first much better": (
        "strength",
        [STEERED | {"overall_preference": p} for p in (-3, 0, 2)],
        [("x", "y", 1), ("x", "y", 0), ("x", "y", -1)],
    ),
    "HelpSteer2": (
        "strength",
        [{"prompt": "hi", "response_1": "x", "response_2": "y", "preference_strength": -1}],
        [("x", "y", 1)],
    ),
    "strength, above 0 is the first": (
        "strength",
        [
            {"prompt": "hi", "response_a": "x", "response_b": "y", "strength": s}
            for s in (0.5, -2, 0, None)
        ],
        [("x", "y", 1), ("x", "y", -1), ("x", "y", 0), ("x", "y", None)],
    ),
    "Nectar, a rank in every answer": (
        "ranking",
        [
            {
                "prompt": "\n\nHuman: hi\n\nAssistant: ",
                "answers": [
                    {"answer": "x", "model": "m", "rank": 2.0},
                    {"answer": "y", "model": "n", "rank": 1.0},
                    {"answer": "z", "model": "o", "rank": 2.0},
                ],
            }
        ],
        [("x", "y", -1), ("x", "z", 0), ("y", "z", 1)],
    ),
    "UltraFeedback, a score in every completion": (
        "ranking",
        [
            {
                "instruction": "hi",
                "completions": [
                    {"response": "x", "overall_score": 7.5},
                    {"response": "y", "overall_score": 8},
                ],
            }
        ],
        [("x", "y", -1)],
    ),
    "texts with scores": (
        "ranking",
        [{"prompt": "hi", "responses": ["x", "y", "z"], "scores": [1, 3, 1]}],
        [("x", "y", -1), ("x", "z", 0), ("y", "z", 1)],
    ),
    "texts with ranks, 1 is best": (
        "ranking",
        [{"prompt": "hi", "responses": ["x", "y"], "ranks": [1, 2]}],
        [("x", "y", 1)],
    ),
    "texts with a ranking of their places": (
        "ranking",
        [{"prompt": "hi", "responses": ["x", "y", "z"], "ranking": [2, 0, 1]}],
        [("x", "y", 1), ("x", "z", -1), ("y", "z", -1)],
    ),
    "ratings, one response a row": (
        "ratings",
        [{"prompt": "hi", "response": r, "score": s} for r, s in (("x", 1), ("y", 3), ("z", 3))],
        [("x", "y", -1), ("x", "z", -1), ("y", "z", 0)],
    ),
    "HelpSteer, of which helpfulness is the rating": (
        "ratings",
        [
            {"prompt": "hi", "response": r, "helpfulness": s, "verbosity": 0}
            for r, s in zip("xy", (4, 2), strict=True)
        ],
        [("x", "y", 1)],
    ),
    "KTO, true is desired": (
        "ratings",
        [
            {"prompt": "hi", "completion": "x", "label": False},
            {"prompt": "hi", "completion": "y", "label": True},
        ],
        [("x", "y", -1)],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_layout_is_recognised_and_its_pairs_are_formed(tmp_path, name):
    layout, rows, expected = PUBLISHED[name]
    path = write(tmp_path / "p.jsonl", *rows)
    pairs = rk.load_pairs(path)
    assert pairs.select("response_a", "response_b", "preference").rows() == expected
    ends = {p if isinstance(p, str) else p[-1]["content"] for p in pairs["prompt"]}
    assert ends == {"hi"}
    assert describe(path).files[0].layouts == {layout: len(rows)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_was_read_and_written_is_read_again_as_it_is(tmp_path, name):
    pairs = rk.load_pairs(write(tmp_path / "p.jsonl", *PUBLISHED[name][1]))
    pairs.write_parquet(tmp_path / "p.parquet")
    assert rk.load_pairs(tmp_path / "p.parquet").equals(pairs)


# a table has one kind of row, and a struct no integer beside a real number
TABLES = [
    name
    for name, (_, rows, _) in PUBLISHED.items()
    if len({frozenset(row) for row in rows}) == 1 and not name.startswith("UltraFeedback")
]


@pytest.mark.parametrize("name", TABLES)
def test_parquet_reads_as_jsonl_does(tmp_path, name):
    rows = PUBLISHED[name][1]
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "p.parquet")
    again = rk.load_pairs(tmp_path / "p.parquet")
    first = rk.load_pairs(write(tmp_path / "p.jsonl", *rows))
    columns = ["prompt", "response_a", "response_b", "preference"]
    assert again.select(columns).equals(first.select(columns))


def test_the_columns_of_a_layout_go_and_all_others_stay(tmp_path):
    found = rk.load_pairs(write(tmp_path / "p.jsonl", battle("tie (bothbad)")))
    assert found.columns[5:] == ["question_id", "model_a", "model_b", "winner", "turn", "language"]
    assert found["winner"].to_list() == ["tie (bothbad)"]
    found = rk.load_pairs(write(tmp_path / "p.jsonl", STEERED | {"overall_preference": -3}))
    assert found.select("domain", "overall_preference", "strength").rows() == [("code", -3, 3.0)]
    found = rk.load_pairs(write(tmp_path / "p.jsonl", *PUBLISHED["texts with scores"][1]))
    assert found.select("score_a", "score_b").rows() == [(1, 3), (1, 1), (3, 1)]


def test_a_battle_of_several_turns_keeps_them_in_the_responses_up_to_the_judged_one(tmp_path):
    a = [user("hi"), said("x"), user("more"), said("x2")]
    b = [user("hi"), said("y"), user("more"), said("y2")]
    rows = [battle("model_a", conversation_a=a, conversation_b=b, turn=t) for t in (1, 2)]
    found = rk.load_pairs(write(tmp_path / "p.jsonl", *rows))
    assert found["response_a"].to_list() == ["x", "x\n\nUser: more\n\nAssistant: x2"]


def test_contents_in_parts_are_joined_and_pictures_refused(tmp_path):
    part = {"type": "text", "text": "h", "image": None}
    row = battle(
        "model_a",
        conversation_a=[{"role": "user", "content": [part, part | {"text": "i"}]}, said("x")],
    )
    assert rk.load_pairs(write(tmp_path / "p.jsonl", row))["prompt"].to_list() == ["hi"]
    row["conversation_a"][0]["content"][1]["type"] = "image"
    with pytest.raises(
        ValueError, match=r"line 1: column 'conversation_a' holds .* a content of text"
    ):
        rk.load_pairs(write(tmp_path / "p.jsonl", row))


def test_tables_hold_conversations_and_lists_as_json(tmp_path):
    rows = [battle("model_b")]
    rows = [r | {c: json.dumps(r[c]) for c in ("conversation_a", "conversation_b")} for r in rows]
    pl.DataFrame(rows).write_csv(tmp_path / "p.csv")
    assert rk.load_pairs(tmp_path / "p.csv")["preference"].to_list() == [-1]


def test_ratings_are_averaged_over_raters_and_joined_across_files(tmp_path):
    write(tmp_path / "a.jsonl", *({"prompt": "hi", "response": "x", "score": s} for s in (1, 4)))
    write(tmp_path / "b.jsonl", {"prompt": "hi", "response": "y", "score": 2})
    found = rk.load_pairs(tmp_path)
    assert found.select("score_a", "score_b", "preference").rows() == [(2.5, 2.0, 1)]


def test_ratings_keep_what_all_responses_of_a_prompt_have_in_common(tmp_path):
    rows = [
        {"prompt": "hi", "response": r, "score": 1, "split": "test", "model": m}
        for r, m in (("x", "m1"), ("y", "m2"))
    ]
    found = rk.load_pairs(write(tmp_path / "p.jsonl", *rows))
    assert found["split"].to_list() == ["test"]
    assert "model" not in found.columns


def test_a_rated_response_alone_with_its_prompt_is_told_of(tmp_path):
    rows = [
        {"prompt": p, "response": r, "score": 1} for p, r in (("hi", "x"), ("hi", "y"), ("ho", "z"))
    ]
    with pytest.warns(UserWarning, match="1 of 3 rated responses are the only one of their prompt"):
        assert len(rk.load_pairs(write(tmp_path / "p.jsonl", *rows))) == 1
    with pytest.raises(ValueError, match="no prompt has two responses"):
        rk.load_pairs(write(tmp_path / "p.jsonl", rows[2]))


def test_the_same_prompt_in_two_rows_of_rankings_gets_other_ids(tmp_path):
    row = {"prompt": "hi", "responses": ["x", "y"], "ranks": [1, 2]}
    found = rk.load_pairs(write(tmp_path / "p.jsonl", row, row))
    assert found["pair_id"].n_unique() == 2
    with pytest.raises(ValueError, match="line 2: column 'prompt_id' is 'p', as in line 1"):
        rk.load_pairs(
            write(tmp_path / "p.jsonl", row | {"prompt_id": "p"}, row | {"prompt_id": "p"})
        )


TWO = {"prompt": "hi", "response_a": "x", "response_b": "y"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (TWO | {"chosen": "x", "rejected": "y"}, "more than one layout, pairs and preference"),
        (TWO | {"winner": "a", "strength": 1}, "more than one layout, arena and strength"),
        (
            {"prompt": "hi", "response_0": "x", "response_1": "y", "better_response_id": 0}
            | {"safer_response_id": 1},
            "'better_response_id' and 'safer_response_id' both name the preferred",
        ),
        (
            {"question": "q", "instruction": "i", "chosen": "x", "rejected": "y"},
            "the prompt could be any of the columns 'question', 'instruction'",
        ),
        (
            {"prompt": "hi", "responses": ["x", "y"], "ranks": [1, 2], "scores": [2, 1]},
            "'ranks' and 'scores' all order the responses",
        ),
        (
            {"prompt": "hi", "response": "x", "score": 1, "rating": 2},
            "'score' and 'rating' all rate",
        ),
    ],
)
def test_an_ambiguous_layout_is_refused_with_the_choices(tmp_path, row, message):
    with pytest.raises(ValueError, match="line 1: ") as error:
        rk.load_pairs(write(tmp_path / "p.jsonl", row))
    assert message in str(error.value)
    assert "; allowed: " in str(error.value)


def test_a_column_preference_is_the_kits_own_and_settles_it(tmp_path):
    row = TWO | {"preference": -1, "winner": "model_a", "strength": 3}
    assert rk.load_pairs(write(tmp_path / "p.jsonl", row))["preference"].to_list() == [-1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            TWO | {"winner": "gpt-4"},
            "column 'winner' is 'gpt-4'; allowed: model_a, model_b, a, b, tie",
        ),
        (TWO | {"winner": 1}, "column 'winner' is 1; allowed: model_a"),
        (battle("a", conversation_b=[user("ho"), said("y")]), "begin differently"),
        (battle("a", conversation_b=[user("hi")]), "'conversation_b' ends without an answer"),
        (battle("a", conversation_b="ho"), "'conversation_b' is 'ho'; allowed: a list of messages"),
        (STEERED | {"overall_preference": 7}, "'overall_preference' is 7; allowed: -3 to 3"),
        (TWO | {"strength": float("nan")}, "'strength' is nan; allowed: a finite number"),
        (
            TWO | {"winner_model_a": 1, "winner_model_b": 1, "winner_tie": 0},
            "are [1, 1, 0]; allowed: a 1",
        ),
        (
            {"prompt": "q", "responses": ["x"], "scores": [1]},
            "'responses' is ['x']; allowed: a list of two",
        ),
        ({"prompt": "q", "responses": ["x", None], "scores": [1, 2]}, "'responses[1]' is empty"),
        ({"prompt": "q", "responses": ["x", "y"], "scores": [1]}, "allowed: a list of 2 numbers"),
        (
            {"prompt": "q", "responses": ["x", "y"], "scores": [1, "2"]},
            "'scores' is '2'; allowed: a finite",
        ),
        (
            {"prompt": "q", "responses": ["x", "y"], "ranking": [1, 2]},
            "allowed: every id of 0, 1 once",
        ),
        (
            {"prompt": "q", "responses": ["x", "y"]},
            "nothing orders the responses of column 'responses'",
        ),
        ({"prompt": "q", "responses": ["x", "x"], "ranks": [1, 2]}, "the two responses are equal"),
        (
            {"prompt": "q", "response": "x", "score": "4"},
            "column 'score' is '4'; allowed: a finite number",
        ),
        ({"prompt": "q", "response": " ", "score": 4}, "column 'response' is empty"),
        ({"response": "x", "score": 4}, "column 'prompt' is empty"),
        (
            {"prompt": "q", "response": "x", "rule": "r", "label": 1},
            "labels of single responses under rules",
        ),
    ],
)
def test_a_wrong_value_is_named_with_row_column_and_what_is_allowed(tmp_path, row, message):
    with pytest.raises(ValueError, match=r"p\.jsonl, line 2: ") as error:
        rk.load_pairs(write(tmp_path / "p.jsonl", GOOD, row))
    assert message in str(error.value)


def test_too_many_responses_of_one_prompt_are_refused_before_they_fill_the_memory(tmp_path):
    rows = [{"prompt": "hi", "response": f"r{i}", "score": i} for i in range(201)]
    with pytest.raises(
        ValueError, match="column 'prompt': 'hi' has 201 responses; allowed: at most 200"
    ):
        rk.load_pairs(write(tmp_path / "p.jsonl", *rows))
    row = {"prompt": "hi", "responses": [str(i) for i in range(201)], "scores": [0] * 201}
    with pytest.raises(ValueError, match="line 1: column 'responses' has 201 responses"):
        rk.load_pairs(write(tmp_path / "p.jsonl", row))


def test_every_layout_says_its_columns_and_is_among_the_published_ones():
    tested = {layout for layout, _, _ in PUBLISHED.values()} | {"pairs", "preference"}
    assert tested == set(LAYOUTS)
    assert all(layout.columns for layout in LAYOUTS.values())
