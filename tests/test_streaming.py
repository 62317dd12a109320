"""Scores in blocks: a file read in parts gives what the whole gives; counts of parts add up."""

import numpy as np
import pytest

import rulekit as rk

info = rk.information


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


def test_information_from_added_counts_is_that_of_all_pairs(tmp_path):
    scores, y = planted(1000)
    path = scores.write(tmp_path / "scores.parquet")
    votes = np.sign(scores.discrepancy)
    with_y, between, start = 0, 0, 0
    for block in rk.Scores.batches(path, 130):
        part = np.sign(block.discrepancy)
        with_y = with_y + info.vote_tables(part, y[start : start + len(part)])
        between = between + info.rule_tables(part)
        start += len(part)
    np.testing.assert_array_equal(info.table_information(with_y), info.vote_information(votes, y))
    np.testing.assert_allclose(
        info.table_information(between, "plugin"), info.redundancy_matrix(votes), atol=1e-14
    )


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


@pytest.mark.parametrize("tables", [np.ones(3), -np.ones((2, 2)), np.zeros((2, 2)), [[np.nan, 1]]])
def test_tables_that_are_no_counts_are_refused(tables):
    with pytest.raises(ValueError, match="tables"):
        info.table_information(tables)
