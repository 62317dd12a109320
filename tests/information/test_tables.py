"""Counts of blocks of pairs add up to the counts, and the information, of all pairs."""

import numpy as np
import pytest

import rulekit as rk
from tests.inputs.test_scores import planted

info = rk.information


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
    np.testing.assert_array_equal(
        info.table_information(with_y), info.rule_mutual_information(votes, y)
    )
    np.testing.assert_allclose(
        info.table_information(between, "plugin"), info.redundancy_matrix(votes), atol=1e-14
    )


@pytest.mark.parametrize("tables", [np.ones(3), -np.ones((2, 2)), np.zeros((2, 2)), [[np.nan, 1]]])
def test_tables_that_are_no_counts_are_refused(tables):
    with pytest.raises(ValueError, match="tables"):
        info.table_information(tables)
