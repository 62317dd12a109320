"""Scores: what is refused, what the disk gives back, and a file read in blocks."""

import re

import numpy as np
import pytest

import rulekit as rk


def planted(n: int, m: int = 7, relevance: bool = True) -> tuple[rk.Scores, np.ndarray]:
    rng = np.random.default_rng(n)
    y = rng.choice([-1, 1], n)
    a = np.clip(rng.normal(0.1 * y[:, None], 0.4, (n, m)), -1, 1).round(1)
    b = np.clip(rng.normal(-0.1 * y[:, None], 0.4, (n, m)), -1, 1).round(1)
    return rk.Scores(a, b, rng.random((n, m)) if relevance else None), y


def same(x: rk.Scores, y: rk.Scores) -> None:
    for name in ("a", "b", "relevance"):
        np.testing.assert_array_equal(getattr(x, name), getattr(y, name))


@pytest.mark.parametrize("relevance", [True, False])
@pytest.mark.parametrize("rows", [1, 64, 100, 1000])
def test_blocks_of_a_file_are_its_rows_in_order(tmp_path, rows, relevance):
    scores, _ = planted(101, relevance=relevance)
    whole = scores.write(tmp_path / "whole.parquet")
    parts = [scores.rows(range(i, min(i + 40, 101))) for i in range(0, 101, 40)]
    for path in (whole, rk.Scores.write_batches(tmp_path / "parts.parquet", parts)):
        same(rk.Scores.read(path), scores)
        blocks = list(rk.Scores.batches(path, rows))
        assert max(b.n_pairs for b in blocks) <= rows
        same(rk.Scores.read(path), _joined(blocks))
        assert [i for b in blocks for i in b.pair_ids] == [str(i) for i in range(101)]
        assert all(b.rule_ids == rk.Scores.read(whole).rule_ids for b in blocks)
        assert all(b.relevance is None for b in rk.Scores.batches(path, rows, relevance=False))


def _joined(blocks: list[rk.Scores]) -> rk.Scores:
    arrays = [
        None
        if blocks[0].relevance is None and name == "relevance"
        else np.concatenate([getattr(b, name) for b in blocks])
        for name in ("a", "b", "relevance")
    ]
    return rk.Scores(*arrays)


def test_what_cannot_be_read_or_written_in_blocks_is_refused(tmp_path):
    scores, _ = planted(10)
    path = scores.write(tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match="rows is 0; allowed: 1 or more"):
        next(rk.Scores.batches(path, 0))
    rk.sources.load("embedded").write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"not written by Scores\.write"):
        next(rk.Scores.batches(tmp_path / "other.parquet"))
    mixed = [scores, planted(10, relevance=False)[0]]
    with pytest.raises(ValueError, match="block from pair 10"):
        rk.Scores.write_batches(tmp_path / "mixed.parquet", mixed)
    with pytest.raises(ValueError, match="no blocks"):
        rk.Scores.write_batches(tmp_path / "none.parquet", [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.parquet", "scores.parquet"]


def test_rows_and_columns_keep_the_names_of_pairs_and_rules():
    values = planted(4, 3)[0]
    s = rk.Scores(values.a, values.b, values.relevance, "xyz", "pqrs")
    for index in ([2, 0], np.array([2, 0]), [-2, -4]):
        some = s.rows(index)
        assert (some.pair_ids, some.rule_ids) == (("r", "p"), ("x", "y", "z"))
        same(some, rk.Scores(s.a[[2, 0]], s.b[[2, 0]], s.relevance[[2, 0]]))
    assert s.rows([True, False, False, True]).pair_ids == ("p", "s")
    few = s.columns([2, 1])
    assert (few.pair_ids, few.rule_ids) == (("p", "q", "r", "s"), ("z", "y"))
    same(few, rk.Scores(s.a[:, [2, 1]], s.b[:, [2, 1]], s.relevance[:, [2, 1]]))
    assert s.columns([False, True, True]).rule_ids == ("y", "z")
    assert values.rows([1]).pair_ids is values.columns([1]).rule_ids is None


def test_scores_survive_the_disk(tmp_path):
    s = rk.Scores([[0.1, -1.0]], [[0.5, 1.0]], [[0.0, 1.0]], ["x", "y"], ["p"])
    back = rk.Scores.read(s.write(tmp_path / "s.parquet"))
    assert (back.a == s.a).all()
    assert (back.relevance == s.relevance).all()
    assert (back.rule_ids, back.pair_ids) == (("x", "y"), ("p",))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: rk.Scores(s.a, s.b[:2]), "b has shape (2, 4); allowed: (3, 4)"),
        (lambda s: rk.Scores(s.a * np.nan, s.b), "a, row 0, rule 0 is nan; allowed: -1 to 1"),
        (lambda s: rk.Scores(s.a, s.b + 3), "b, row 0, rule 0 is"),
        (lambda s: rk.Scores(s.a, s.b, s.relevance - 2), "relevance, row 0, rule 0"),
        (
            lambda s: rk.Scores(s.a, s.b, rule_ids="aabc"),
            "rule_ids: 'a' occurs twice; allowed: unique",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(planted(3, 4)[0])
    assert message in str(error.value)


def test_columns_and_rows_come_in_the_order_asked_for_with_all_that_belongs_to_them():
    s, _ = planted(5, 4)
    s = rk.Scores(s.a, s.b, s.relevance, list("wxyz"), list("abcde"))
    for index in ([2, 0], np.array([True, False, True, False])):
        found, order = s.columns(index), np.arange(4)[np.asarray(index)]
        for name in ("a", "b", "relevance"):
            assert (getattr(found, name) == getattr(s, name)[:, order]).all()
        assert found.rule_ids == tuple("wxyz"[j] for j in order)
        assert found.pair_ids == tuple("abcde")
    for index in ([4, 0, 1], np.array([True, False, False, True, True])):
        found, order = s.rows(index), np.arange(5)[np.asarray(index)]
        for name in ("a", "b", "relevance"):
            assert (getattr(found, name) == getattr(s, name)[order]).all()
        assert found.pair_ids == tuple("abcde"[i] for i in order)
        assert found.rule_ids == tuple("wxyz")


def test_columns_and_rows_of_scores_without_names_or_relevance_have_none():
    s, _ = planted(5, 4, relevance=False)
    for found in (s.columns([3, 1]), s.rows([3, 1])):
        assert (found.relevance, found.rule_ids, found.pair_ids) == (None, None, None)
    assert (s.columns([3, 1]).b == s.b[:, [3, 1]]).all()


def test_scores_are_kept_as_contiguous_float32_with_names_of_their_rows_and_columns():
    s = rk.Scores.from_discrepancy([[1, -1], [0, 1]], [[0, 1], [1, 0]], ["x", "y"], [7, 8])
    assert s.discrepancy.tolist() == [[1, -1], [0, 1]]
    assert s.relevance.tolist() == [[0, 1], [1, 0]]
    assert (s.rule_ids, s.pair_ids, s.names) == (("x", "y"), ("7", "8"), ["x", "y"])
    turned = rk.Scores(np.ones((2, 3)).T, np.zeros((2, 3)).T, np.ones((2, 3)).T)
    for array in (s.a, s.b, s.relevance, turned.a, turned.b, turned.relevance):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
    alone = rk.Scores.from_discrepancy([[1.0]], rule_ids=["x"])
    assert (alone.rule_ids, alone.pair_ids) == (("x",), None)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[0, 0], [0, 1.5]], np.zeros((2, 2))), "a, row 1, rule 1 is 1.5; allowed: -1 to 1"),
        (([[0, 0], [-1.5, 0]], np.zeros((2, 2))), "a, row 1, rule 0 is -1.5; allowed: -1 to 1"),
        ((np.zeros((1, 2)), [[0, -1.5]]), "b, row 0, rule 1 is -1.5; allowed: -1 to 1"),
        ((np.zeros((1, 2)), [[1, -1]], [[1, -0.5]]), "relevance, row 0, rule 1 is -0.5"),
        ((np.zeros((1, 2)), [[1, -1]], [[0], [1]]), "relevance has shape (2, 1); allowed: (1, 2)"),
        ((np.zeros(3), np.zeros(3)), "a has shape (3,); allowed: (n_pairs, n_rules), not empty"),
        ((np.zeros((0, 3)), np.zeros((0, 3))), "a has shape (0, 3)"),
        ((np.zeros((1, 2)), [[1, -1]], None, ["x"]), "rule_ids: 1 ids; allowed: 2 unique ids"),
        ((np.zeros((1, 1)), [[1]], None, None, ["p", "q"]), "pair_ids: 2 ids; allowed: 1 unique"),
    ],
)
def test_a_value_out_of_range_and_a_shape_that_does_not_fit_are_named(arrays, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        rk.Scores(*arrays)


def test_the_ends_of_the_ranges_are_allowed():
    s = rk.Scores([[-1, 1]], [[1, -1]], [[0, 1]])
    assert s.discrepancy.tolist() == [[-2, 2]]
