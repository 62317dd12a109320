"""The store: what it keeps, tells apart, refuses, takes over, and says of damaged files."""

import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rulekit as rk
from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store, keys, response_key, rule_key
from tests.rating.damage import FUZZED, fuzz, fuzzed_store
from tests.rating.helpers import CELLS, RULES, HashJudge, assert_whole, filled, some_pairs

ONE = keys([response_key("q", "r")]), keys([rule_key("rule")])
EVEN = np.full((1, 1, 3), 1 / 3, np.float32)


def sql(path, statement: str, *values) -> list:
    """Run a statement as any other program would."""
    with closing(sqlite3.connect(path)) as base, base:
        return base.execute(statement, values).fetchall()


# What is kept ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.booleans()), max_size=40))
@settings(max_examples=30, deadline=None)
def test_any_order_of_additions_by_two_writers_reads_as_a_dictionary(steps):
    responses = keys([response_key("q", str(i)) for i in range(10)])
    rules = keys([rule_key(str(j)) for j in range(5)])
    truth = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(f"{folder}/r.sqlite") as one,
        Store(f"{folder}/r.sqlite") as other,
    ):
        for number, (i, j, mine) in enumerate(steps):
            value = np.float32([number / 64, 1 - number / 64, 0])
            added = (one if mine else other).add("j", responses[[i]], rules[[j]], value[None, None])
            assert added == ((i, j) not in truth)
            truth.setdefault((i, j), value)
        found = one.get("j", responses, rules)
        assert len(one) == len(other) == len(truth) == one.check()["ratings"]
    for (i, j), value in truth.items():
        assert np.array_equal(found[i, j, :3], value)
    assert np.isnan(found[..., 0]).sum() == 50 - len(truth)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2), st.floats(0, 1, width=32))
@settings(max_examples=50, deadline=None)
def test_every_bit_of_a_rating_comes_back(cuts, mass):
    low, high = np.sort(np.float32(cuts))
    p = np.float32([low, high - low, 1 - high])
    with Store() as store:
        store.add("j", *ONE, p[None, None], np.float32([[mass]]))
        assert store.get("j", *ONE)[0, 0].tobytes() == np.float32([*p, mass]).tobytes()


def test_cells_without_a_rating_are_neither_counted_nor_stored(tmp_path):
    p = np.full((2, 2, 3), np.nan)
    p[0, 0], p[1, 1] = (0.2, 0.3, 0.5), (1, -0.0, 0)
    responses = keys([response_key("q", t) for t in "ab"])
    rules = keys([rule_key(t) for t in ("one", "two")])
    with Store(tmp_path / "r.sqlite") as store:
        mass = np.array([[0.9, 0.9], [0.9, np.nan]])
        assert store.add("judge", responses, rules, p, mass) == len(store) == 2
        found = store.get("judge", responses, rules)
        assert found[0, 0] == pytest.approx([0.2, 0.3, 0.5, 0.9])
        assert np.isnan(found[[0, 1], [1, 0]]).all()
        assert np.isnan(found[1, 1, 3])  # a mass that is not told
        assert store.add("judge", responses, rules, np.nan_to_num(p, nan=1 / 3)) == 2
        again = store.get("judge", responses[[1, 0, 1]], rules[::-1])  # in any order, twice
        assert again[:, :, :3] == pytest.approx(
            np.float32([[[1, 0, 0], [1 / 3] * 3], [[1 / 3] * 3, [0.2, 0.3, 0.5]]])[[0, 1, 0]]
        )


def test_judges_of_one_file_share_nothing(tmp_path):
    with Store(tmp_path / "r.sqlite") as store:
        store.add("one", *ONE, EVEN)
        assert np.isnan(store.get("other", *ONE)).all()
        store.add("other", *ONE, np.float32([[[1, 0, 0]]]))
        assert store.get("one", *ONE)[0, 0, :3] == pytest.approx([1 / 3] * 3)
        assert store.get("other", *ONE)[0, 0, :3].tolist() == [1, 0, 0]
        assert store.judges() == ["one", "other"]
        assert (store.count("one"), store.count("nobody"), len(store)) == (1, 0, 2)


def test_keys_that_end_in_zero_bytes_are_found():
    responses = keys([b"a" + bytes(15), b"a" + bytes(14) + b"\1", bytes(16)])
    p = np.float32([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    with Store() as store:
        store.add("j", responses, keys([bytes(16)]), p)
        assert np.array_equal(store.get("j", responses, keys([bytes(16)]))[..., :3], p)
        assert set(store.responses("j").tolist()) == set(responses.tolist())


def test_a_person_reads_ratings_with_sql(tmp_path):
    pairs, judge = some_pairs(2), HashJudge()
    path = tmp_path / "ratings.sqlite"
    annotate(pairs, RULES, judge, store=path)
    rows = sql(
        path,
        "select judge, rule, no, irrelevant, yes, score, relevance, response_id from ratings "
        "where prompt = 'question 0' and response = 'answer 0' and rule_id = 'r003'",
    )
    no, irrelevant, yes = judge.one("question 0", "answer 0", RULES[3].text).tolist()
    key = response_key("question 0", "answer 0").hex()
    assert rows == [
        (judge.identity, RULES[3].text, no, irrelevant, yes, yes - no, 1 - irrelevant, key)
    ]
    assert sql(path, "select count(*) from ratings") == [(3 * CELLS,)]


MESSAGES = [{"role": "system", "content": "Be é."}, {"role": "user", "content": '"Hi"'}]
TEXTS = [
    ("plain", "text"),
    (MESSAGES, "text"),
    (MESSAGES[1:], "text"),
    ('[{"role": "user", "content": "no messages"}]', '["no", "pair"]'),
    ("compared", ("first", "second")),
    ("\ud800 alone", "\x00 and \udfff"),
    ("[1", "{"),
]


def test_texts_come_back_as_they_were_given(tmp_path):
    responses = keys([response_key(*t) for t in TEXTS])
    assert len(set(responses.tolist())) == len(TEXTS)
    p = np.full((len(TEXTS), 1, 3), 1 / 3)
    with Store(tmp_path / "r.sqlite") as store:
        store.add("j", responses[:3], ONE[1], p[:3])
        assert store.kept_texts(responses) == [None] * len(TEXTS)
        store.add("j", responses, ONE[1], p, texts=TEXTS)  # now also of the first three
        assert store.kept_texts(responses) == TEXTS
        store.check()
    with Store(tmp_path / "none.sqlite", texts=False) as store:
        store.add("j", responses, ONE[1], p, texts=TEXTS)
        assert store.kept_texts(responses) == [None] * len(TEXTS)


def test_a_lone_surrogate_in_a_response_has_a_key_of_its_own():
    assert len({response_key("q", text) for text in ("\ud800", "\ud801", "?")}) == 3


def test_two_compared_responses_have_a_key_that_no_response_and_no_other_order_has():
    pairs = [("ab", "c"), ("a", "bc"), ("c", "ab")]
    names = {response_key("q", p) for p in pairs} | {response_key("q", "".join(p)) for p in pairs}
    assert len(names) == 5


def test_rules_are_known_by_the_id_they_had_last(tmp_path):
    with Store(tmp_path / "r.sqlite") as store:
        store.add("j", ONE[0], keys([rule_key(RULES.texts[0])]), EVEN)
        assert store.rules() == [(rule_key(RULES.texts[0]).hex(), None, None)]
        store.note_rules(RULES)
        store.note_rules(rk.RuleSet((rk.Rule("renamed", RULES.texts[0]),)))
        assert [(name, text) for _, name, text in store.rules()] == [
            ("renamed", RULES.texts[0]),
            *((r.id, r.text) for r in RULES.rules[1:]),
        ]


def test_spending_of_all_writers_adds_up_but_for_the_run_left_out(tmp_path):
    path = tmp_path / "r.sqlite"
    with Store(path) as one, Store(path) as other:
        one.note_spending("judge", {"run": "a", "cost": 1.5, "rated": 3, "time": "now"})
        assert other.spending("judge") == {"cost": 1.5, "rated": 3}
        other.note_spending("judge", {"run": "b", "cost": 0.5, "rated": 1})
        other.note_spending("judge", {"run": "b", "cost": 0.25, "rated": 1})
        assert one.spending("judge") == {"cost": 2.25, "rated": 5}
        assert one.spending("judge", but="b") == {"cost": 1.5, "rated": 3}
    with Store(path) as later:
        assert later.spending("judge")["cost"] == 2.25
        assert not later.spending("another judge")


def test_a_worker_is_alone_until_another_works_and_is_forgotten_after_ten_minutes(tmp_path):
    path = tmp_path / "r.sqlite"
    with Store(path) as one, Store(path) as other:
        with one.working("j") as alone, other.working("another judge") as also:
            assert alone
            assert also
            with other.working("j") as second:
                assert not second
            sql(path, "update worker set seen = seen - 700")
            with other.working("j") as after:
                assert after  # as if the first had been killed
            with one.working("j"):
                sql(path, "update worker set seen = seen - 700")
                one.add("j", *ONE, EVEN)  # shows that it lives
                with other.working("j") as again:
                    assert not again
        assert sql(path, "select count(*) from worker") == [(0,)]


def test_an_interrupt_amid_an_addition_takes_it_back_and_the_store_goes_on(tmp_path):
    class Interrupting(list):
        def __iter__(self):
            yield ("q", "r")
            raise KeyboardInterrupt

    with Store(tmp_path / "r.sqlite") as store, Store(tmp_path / "r.sqlite") as other:
        with pytest.raises(KeyboardInterrupt):
            store.add("j", *ONE, EVEN, texts=Interrupting([None, None]))
        assert len(store) == 0
        assert other.add("j", *ONE, EVEN) == 1
        assert store.get("j", *ONE)[0, 0, 0] == np.float32(1 / 3)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [[0.5, 0.5, 0.5], [1.5, -0.5, 0], [np.nan, 0.5, 0.5], [1.0005, 0, 0], [-0.0005, 0.5, 0.5]],
)
def test_what_is_no_distribution_is_refused(wrong):
    with Store() as store:
        with pytest.raises(ValueError, match=r"response 0, rule 0 .* sum 1"):
            store.add("j", *ONE, np.float32([[wrong]]))
        assert len(store) == 0


def test_doubles_wrong_shapes_and_a_nameless_judge_are_refused():
    with Store() as store:
        with pytest.raises(ValueError, match="rules: a key occurs twice"):
            store.add("j", ONE[0], ONE[1][[0, 0]], np.full((1, 2, 3), 1 / 3))
        with pytest.raises(ValueError, match=r"shape \(1, 1, 3\); allowed: \(1, 2, 3\)"):
            store.add("j", ONE[0], keys([bytes(16), bytes(15) + b"1"]), EVEN)
        with pytest.raises(ValueError, match="identity is empty"):
            store.add("", *ONE, EVEN)
    with pytest.raises(ValueError, match=":memory:: the store is closed"):
        len(store)


def test_what_is_no_store_is_refused_by_its_name(tmp_path):
    (tmp_path / "text").write_text("pair_id,prompt\n" * 100)
    (tmp_path / "empty").touch()
    sql(tmp_path / "other", "create table t (a)")
    filled(tmp_path / "newer", 2)
    sql(tmp_path / "newer", "pragma user_version = 99")
    for name, said in {
        ".": r"a folder; allowed: a file",
        "text": "no store of ratings: file is not a database",
        "empty": "0 bytes; allowed: a store of ratings, or no file to start one",
        "other": "a SQLite file, but no store of ratings",
        "newer": "format 99; allowed: 1",
    }.items():
        path = tmp_path / name
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(ValueError, match=f"^{path}: {said}") as error:
            Store(path)
        assert "\n" not in str(error.value)
        assert before is None or path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_refused_by_its_name(tmp_path):
    """On a file system that is mounted to be read only, where the machine lets tests mount one."""
    filled(tmp_path / "r.sqlite", 2)
    (tmp_path / "there").mkdir()
    mount = f"mount --bind -o ro {tmp_path} {tmp_path}/there"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("needs to mount a file system in a namespace of its own")
    code = f"from rulekit.rating.store import Store; Store('{tmp_path}/there/r.sqlite')"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && {sys.executable} -c "{code}"'],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("PermissionError")
    assert f"cannot be written: '{tmp_path}/there/r.sqlite'" in last


def test_it_works_where_the_system_has_no_locks_of_posix(tmp_path):
    code = (
        "import sys, numpy, polars\n"
        "sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "import rulekit.rating\n"
        "from tests.rating.helpers import filled\n"
        f"filled({str(tmp_path / 'r.sqlite')!r})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
    assert_whole(tmp_path / "r.sqlite", 60)


# Damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "update rating set yes = 8e37 where response = 3 and rule = 2",
            "rating of response R3 un",
        ),
        ("update rating set no = yes, yes = no where response = 3", "rating of response R3 under"),
        (
            "update rating set irrelevant = 'x' where response = 3",
            "rating of response R3 under rul",
        ),
        (
            "update rating set response = 99 where response = 3 and rule = 2",
            "R3 has 11 of 12 ratin",
        ),
        ("delete from rating where response = 3 and rule = 2", "response R3 has 11 of 12 ratings"),
        ("delete from rating where response = 3", "response R3 has 0 of 12 ratings"),
        ("delete from tally where response = 3", "response R3 has 12 of 0 ratings"),
        ("update response set key = '0' where id = 3", "the table response is damaged"),
        ("delete from response where id = 30", "the table response is damaged"),
        ("update rule set key = '0' where id = 3", "the table rule is damaged"),
        ("update judge set key = '0'", "the table judge is damaged"),
        ("delete from total", "the table judge is damaged"),
        ("drop view ratings", "the schema is damaged"),
    ],
)
def test_what_was_changed_is_named_with_its_file_when_ratings_are_read(tmp_path, change, said):
    path = tmp_path / "r.sqlite"
    filled(path, 20)
    ((third,),) = sql(path, "select key from response where id = 3")
    ((rule,),) = sql(path, "select name from rule where id = 2")
    sql(path, change)
    judge = HashJudge()
    with pytest.raises(ValueError, match=f"^{path}: .*{said.replace('R3', third)}") as error:
        annotate(some_pairs(20), RULES, judge, store=path)
    assert not judge.asked
    if "rule = 2" in change and "8e37" in change:
        assert f"under rule {rule} is damaged" in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update response set response = 'x' where id = 3", "the texts of response .* damaged"),
        ("update rule set name = 'other' where id = 3", "rule 'other' is damaged"),
        ("update judge set identity = 'other'", "judge 'other' is damaged"),
        ("update spending set entry = '{}' where id = 2", "spending 2 is damaged"),
        ("delete from spending where id = 2", "the table spending is damaged"),
        ("update tally set ratings = 11 where response = 3", "ratings; it is damaged"),
        ("update total set count = 7 where of = 'rating'", "the table rating is damaged"),
        ("insert into rating values (1, 77, 1, 0, 0, 1, 1, 1)", "the table rating is damaged"),
    ],
)
def test_a_check_finds_what_was_changed_in_what_is_rarely_read(tmp_path, change, said):
    path = tmp_path / "r.sqlite"
    filled(path, 20)
    sql(path, change)
    with Store(path) as store, pytest.raises(ValueError, match=f"^{path}: .*{said}"):
        store.check()


def test_flipped_bits_and_cut_files_give_the_right_ratings_or_an_error_that_names_the_file(
    tmp_path,
):
    truth = fuzzed_store(tmp_path / "r.sqlite")
    outcomes = fuzz(tmp_path / "r.sqlite", truth, trials=60, seed=0)
    assert outcomes["right"] + outcomes["named"] == 60, outcomes
    assert outcomes["right"] > 5
    assert outcomes["named"] > 20
    assert sum(len(t) for t in truth.values()) == 2 * FUZZED


def test_tables_and_views_of_its_owner_and_a_compacted_copy_do_no_harm(tmp_path):
    path = tmp_path / "r.sqlite"
    filled(path)
    sql(path, "create view best as select * from ratings where score > 0.5")
    sql(path, "create table notes (response_id, note)")
    with closing(sqlite3.connect(path)) as base:
        base.execute("vacuum into ?", [str(tmp_path / "copy.sqlite")])
    assert_whole(path, 60)
    assert_whole(tmp_path / "copy.sqlite", 60)


# Several files -----------------------------------------------------------------------------------


def test_a_merge_takes_over_everything_once_and_what_was_there_stands(tmp_path):
    here, there = tmp_path / "here.sqlite", tmp_path / "there.sqlite"
    filled(here, 20)
    annotate(some_pairs(60), RULES, HashJudge(0.5), store=there)
    third = HashJudge()
    third.identity = "a third"
    annotate(some_pairs(4), RULES, third, store=there)
    with Store(there) as store:
        store.note_spending(third.identity, {"run": "r", "cost": 2.0})
    with Store(here) as store:
        first = annotate(some_pairs(20), RULES, HashJudge(), store=store)
        assert store.merge(there) == (90 - 30 + 6) * CELLS
        assert store.merge(there) == 0
        assert store.spending(third.identity)["cost"] == 2.0
        judge = HashJudge()
        scores = annotate(some_pairs(60), RULES, judge, store=store)
        assert not judge.asked
        assert np.array_equal(scores.a[:20], first.a)
        assert store.check() == store.check() | {"ratings": 96 * CELLS, "judges": 2}
        assert None not in store.kept_texts(store.responses(third.identity))
    before = here.read_bytes()
    sql(there, "update rating set yes = 0.5 where judge = 2 and response = 2 and rule = 4")
    empty = tmp_path / "empty.sqlite"
    with Store(empty) as store:
        with pytest.raises(ValueError, match=f"^{there}: the rating of response"):
            store.merge(there)
        assert len(store) == 0  # nothing of it
        with pytest.raises(ValueError, match="the store itself"):
            store.merge(empty)
        with pytest.raises(FileNotFoundError, match="no such file"):
            store.merge(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert here.read_bytes() == before


def test_a_copy_of_the_file_alone_is_whole_while_the_store_is_open(tmp_path):
    with Store(tmp_path / "r.sqlite") as store:
        annotate(some_pairs(60), RULES, HashJudge(), store=store, batch=8)
        subprocess.run(["cp", tmp_path / "r.sqlite", tmp_path / "copy.sqlite"], check=True)
        assert (tmp_path / "r.sqlite-wal").exists()
        assert_whole(tmp_path / "copy.sqlite", 60)
    assert {p.name for p in tmp_path.iterdir()} == {"r.sqlite", "copy.sqlite"}
