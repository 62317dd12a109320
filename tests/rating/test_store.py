"""The store: damaged files, merges, keys, and what it refuses."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulekit.files import sha256
from rulekit.rating.annotation import annotate
from rulekit.rating.sorted_parts import keys
from rulekit.rating.store import Store, response_key, rule_key
from tests.rating.helpers import CELLS, RULES, HashJudge, assert_whole, filled, some_pairs


def test_a_log_cut_anywhere_keeps_its_whole_batches(tmp_path):
    filled(tmp_path / "whole")
    log = next((tmp_path / "whole").rglob("*.log")).read_bytes()
    size = 16 + 8 * CELLS * 48
    cuts = {0, 1, 15, 16, 17, size - 1, size, size + 1, len(log) - 1}
    cuts |= set(np.random.default_rng(1).integers(0, len(log), 20).tolist())
    for cut in sorted(cuts):
        folder = tmp_path / str(cut)
        shutil.copytree(tmp_path / "whole", folder)
        next(folder.rglob("*.log")).write_bytes(log[:cut])
        with Store(folder, HashJudge.identity) as store:
            assert len(store) == cut // size * 8 * CELLS
            annotate(some_pairs(60), RULES, HashJudge(), store)
            store.compact()
        assert_whole(folder, 60)


def test_a_damaged_place_in_a_log_costs_its_batch_alone_and_is_reported(tmp_path):
    filled(tmp_path)
    log = next(tmp_path.rglob("*.log"))
    data = bytearray(log.read_bytes())
    data[16 + 8 * CELLS * 48 + 500] ^= 1
    log.write_bytes(data)
    with (
        pytest.warns(UserWarning, match="damaged bytes passed over"),
        Store(tmp_path, HashJudge.identity) as store,
    ):
        assert len(store) == (90 - 8) * CELLS


def test_a_short_or_altered_part_is_named_not_believed(tmp_path):
    filled(tmp_path, compact_at=1)
    column = next(tmp_path.rglob("part-*/p"))
    whole = column.read_bytes()
    column.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"part-\w+/p has \d+ bytes; allowed: \d+"):
        Store(tmp_path, HashJudge.identity)
    column.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with Store(tmp_path, HashJudge.identity) as store, pytest.raises(ValueError, match="damaged"):
        store.verify()


def test_a_writer_goes_on_after_another_has_merged_its_log_away(tmp_path):
    responses = keys([response_key("q", str(i)) for i in range(30)])
    rules = keys([rule_key(t) for t in RULES.texts])
    p = np.full((30, CELLS, 3), 1 / 3, np.float32)
    first, second = Store(tmp_path, "j"), Store(tmp_path, "j")
    assert first.add(responses[:10], rules, p[:10]) == 10 * CELLS
    second.compact()
    assert not list(tmp_path.rglob("*.log"))
    assert first.add(responses[5:20], rules, p[5:20]) == 10 * CELLS
    second.compact()
    second.compact()
    assert first.add(responses, rules, p) == 10 * CELLS
    assert len(first) == len(second) == 30 * CELLS


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.booleans()), max_size=40),
    st.integers(1, 12),
)
@settings(max_examples=40, deadline=None)
def test_any_order_of_additions_and_merges_reads_as_a_dictionary(steps, compact_at):
    responses = keys([response_key("q", str(i)) for i in range(10)])
    rules = keys([rule_key(str(j)) for j in range(5)])
    truth = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(folder, "j", compact_at=compact_at) as store,
    ):
        for number, (i, j, merge) in enumerate(steps):
            value = np.float32([number / 64, 1 - number / 64, 0])
            added = store.add(responses[[i]], rules[[j]], value[None, None])
            assert added == ((i, j) not in truth)
            truth.setdefault((i, j), value)
            if merge:
                store.compact()
        found = store.get(responses, rules)
        assert len(store) == len(truth)
    for (i, j), value in truth.items():
        assert np.array_equal(found[i, j], value)
    assert np.isnan(found[..., 0]).sum() == 50 - len(truth)


def test_keys_that_end_in_zero_bytes_are_found(tmp_path):
    responses = keys([b"a" + bytes(15), b"a" + bytes(14) + b"\1", bytes(16)])
    p = np.float32([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    with Store(tmp_path, "j", compact_at=1) as store:
        store.add(responses, keys([bytes(16)]), p)
        assert np.array_equal(store.get(responses, keys([bytes(16)])), p)


@pytest.mark.parametrize("wrong", [[0.5, 0.5, 0.5], [1.5, -0.5, 0], [np.nan, 0.5, 0.5]])
def test_what_is_no_distribution_is_refused(tmp_path, wrong):
    with (
        Store(tmp_path, "j") as store,
        pytest.raises(ValueError, match=r"response 0, rule 0 .* sum 1"),
    ):
        store.add(keys([bytes(16)]), keys([bytes(16)]), np.float32(wrong)[None, None])


def test_ratings_of_an_older_format_are_left_alone_and_named(tmp_path):
    old = tmp_path / sha256(HashJudge.identity)[:16]
    old.mkdir()
    (old / "judge.json").write_text(json.dumps({"identity": HashJudge.identity, "format": 1}))
    with pytest.warns(UserWarning, match=r"format 1.* are not used"):
        annotate(some_pairs(2), RULES, HashJudge(), tmp_path)


def test_the_torn_log_of_a_killed_writer_is_read_once(tmp_path, monkeypatch):
    filled(tmp_path)
    log = next(tmp_path.rglob("*.log"))
    log.write_bytes(log.read_bytes()[:-5])
    with Store(tmp_path, HashJudge.identity) as store:
        opened, former = [], Path.open
        monkeypatch.setattr(Path, "open", lambda p, *a, **k: opened.append(p) or former(p, *a, **k))
        assert len(store) == len(store) == (90 - 2) * CELLS  # the last batch of two
        assert log not in opened
    with Store(tmp_path, HashJudge.identity) as store:
        assert len(store) == (90 - 2) * CELLS
    assert opened.count(log) == 1


def test_cells_without_a_rating_are_neither_counted_nor_stored(tmp_path):
    p = np.full((2, 2, 3), np.nan)
    p[0, 0], p[1, 1] = (0.2, 0.3, 0.5), (1, 0, 0)
    responses = keys([response_key("q", t) for t in "ab"])
    rules = keys([rule_key(t) for t in ("one", "two")])
    with Store(tmp_path, "judge") as store:
        assert store.add(responses, rules, p, np.full((2, 2), 0.9)) == len(store) == 2
        found = store.get_with_mass(responses, rules)
        assert found[0, 0] == pytest.approx([0.2, 0.3, 0.5, 0.9])
        assert np.isnan(found[[0, 1], [1, 0]]).all()
        assert store.add(responses, rules, np.nan_to_num(p, nan=1 / 3)) == 2  # the first stands
        assert store.get(responses, rules)[1, 1] == pytest.approx([1, 0, 0])
        assert store.get(responses, rules)[0, 1] == pytest.approx([1 / 3] * 3)


def test_a_probability_just_above_one_is_none_though_the_sum_is_near_one(tmp_path):
    one = keys([response_key("q", "r")]), keys([rule_key("rule")])
    with Store(tmp_path, "judge") as store:
        for wrong in ((1.0005, 0, 0), (-0.0005, 0.5, 0.5)):
            with pytest.raises(ValueError, match="response 0, rule 0"):
                store.add(*one, np.array([[wrong]]))
        with pytest.raises(ValueError, match="rules: a key occurs twice"):
            store.add(one[0], keys([rule_key("rule")] * 2), np.full((1, 2, 3), 1 / 3))
        assert len(store) == 0


def test_spending_of_all_writers_adds_up_but_for_the_run_left_out(tmp_path):
    with Store(tmp_path, "judge") as one, Store(tmp_path, "judge") as other:
        one.note_spending({"run": "a", "cost": 1.5, "rated": 3, "time": "now"})
        assert other.spending() == {"cost": 1.5, "rated": 3}
        other.note_spending({"run": "b", "cost": 0.5, "rated": 1})
        other.note_spending({"run": "b", "cost": 0.25, "rated": 1})
        assert one.spending() == {"cost": 2.25, "rated": 5}
        assert one.spending(but="b") == {"cost": 1.5, "rated": 3}
    with Store(tmp_path, "judge") as later, Store(tmp_path, "another judge") as foreign:
        assert later.spending()["cost"] == 2.25
        assert not foreign.spending()


def test_a_lone_surrogate_in_a_response_has_a_key_of_its_own():
    assert len({response_key("q", text) for text in ("\ud800", "\ud801", "?")}) == 3


def test_what_a_killed_merge_left_behind_is_swept_away_by_the_next(tmp_path):
    filled(tmp_path)
    with Store(tmp_path, HashJudge.identity) as store:
        dead = store.folder / "part-dead"
        dead.mkdir()
        (dead / "p").write_bytes(b"half")
        (store.folder / ".parts.json.half").write_bytes(b"{")
        store.compact()
        assert not dead.exists()
        assert not (store.folder / ".parts.json.half").exists()
    assert_whole(tmp_path, 60)


def test_merging_after_every_batch_leaves_few_parts(tmp_path):
    rule = keys([rule_key("rule")])
    with Store(tmp_path, "judge", compact_at=1) as store:
        for i in range(40):
            store.add(keys([response_key("q", str(i))]), rule, np.full((1, 1, 3), 1 / 3))
        assert len(store) == 40
        assert len(list(store.folder.glob("part-*"))) <= 6  # sizes at least double
