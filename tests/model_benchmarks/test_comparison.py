"""A model against its base, a gate, a place on a board: on hand-made scores."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from rulekit import benchmarks
from rulekit.benchmarks.evaluation import Evaluation
from tests.model_benchmarks.handmade import evaluation, two


def test_gains_and_losses_are_counted_item_by_item():
    wins, base = [1] * 30 + [0] * 10 + [1] * 60, [0] * 30 + [1] * 10 + [1] * 60
    found = benchmarks.compare(*two(wins, base))
    row = found.sections.row(0, named=True)
    assert (row["gained"], row["lost"], row["n"]) == (30, 10, 100)
    assert row["difference"] == pytest.approx(0.2)
    assert row["low"] < 0.2 < row["high"]
    assert row["mcnemar_p"] == pytest.approx(binomtest(30, 40).pvalue)
    assert row["p_value"] == pytest.approx(row["mcnemar_p"])  # each item its own prompt
    assert dict(found.changed.group_by("change").len().iter_rows()) == {"gained": 30, "lost": 10}
    assert found.total["difference"].item() == pytest.approx(0.2)


def test_the_order_of_the_base_does_not_matter_and_other_items_are_refused():
    rng = np.random.default_rng(0)
    model, base = two(rng.integers(2, size=40), rng.integers(2, size=40))
    turned = Evaluation(base.card, base.items.reverse())
    assert benchmarks.compare(model, turned).sections.equals(
        benchmarks.compare(model, base).sections
    )
    fewer = evaluation("file", [("0", "all", "0", 1, (1, 0))])
    with pytest.raises(ValueError, match="not scored on the same items"):
        benchmarks.compare(model, fewer)


def test_the_gate_closes_only_with_confidence():
    worse = benchmarks.compare(*two([0] * 20 + [1] * 180, [1] * 200))
    fallen = benchmarks.falls(worse, 0.01)
    assert fallen["section"].to_list() == ["all"]
    assert fallen["sure"].to_list() == [True]
    perhaps = benchmarks.compare(*two([0] * 3 + [1] * 97, [1] * 100))
    assert benchmarks.falls(perhaps, 0.01)["sure"].to_list() == [False]
    assert len(benchmarks.falls(perhaps, 0.05)) == 0
    with pytest.raises(ValueError, match="allowed loss is -1"):
        benchmarks.falls(worse, -1)


def test_the_gate_is_seldom_closed_by_chance():
    """Two models alike: of 200 draws at most 5 % fall surely by more than nothing."""
    rng, closed = np.random.default_rng(1), 0
    for _ in range(200):
        drawn = rng.random((2, 80)) < 0.8
        closed += benchmarks.falls(benchmarks.compare(*two(*drawn.astype(int))), 0.0)["sure"].sum()
    assert closed <= 10


def test_sections_weigh_their_subsets_as_the_benchmark_does():
    rows = [("m", "math-prm", "m", 1, (1, 0))]
    code = ["hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"]
    rows += [(s, s, s, 1, (1, 0)) for s in code]
    other = [(*rows[0][:4], (0, 1)), *rows[1:]]
    found = benchmarks.compare(evaluation("rewardbench", rows), evaluation("rewardbench", other))
    assert found.sections["difference"].item() == pytest.approx(0.5)
    assert len(found.total) == 0


def test_rm_bench_compares_its_levels_too():
    one = evaluation("rm-bench", [("1", "chat", "1", 3, (1, 2, 3, 0.5, 1.5, 2.5))])
    all_won = evaluation("rm-bench", [("1", "chat", "1", 3, (3, 3, 3, 0, 0, 0))])
    found = dict(benchmarks.compare(all_won, one).sections.select("section", "difference").rows())
    assert found == {"chat": pytest.approx(3 / 9), "hard": 1, "normal": 0, "easy": 0}


def test_ties_are_compared_by_their_own_score():
    rng = np.random.default_rng(2)
    sides = []
    for shift in (0.0, 1.0):
        rows = []
        for i in range(25):
            rows.append((f"ref:{i}", "Ties", f"a{i}", 1, rng.normal(size=3) + shift * np.eye(3)[0]))
            tied = rng.normal(size=4) + shift * np.eye(4)[:2].sum(axis=0)
            rows.append((f"tied:{i}", "Ties", f"a{i}", 2, tied))
        sides.append(evaluation("rewardbench-2", rows))
    row = benchmarks.compare(sides[1], sides[0]).sections.row(0, named=True)
    assert row["difference"] == pytest.approx(row["value"] - row["base"])
    assert row["low"] < row["difference"] < row["high"]


class TestBoards:
    def test_the_first_place_of_ramo_in_safety_cannot_be_told_from_the_next_two(self, real_data):
        board = benchmarks.board("rewardbench-2")
        best = board.sort("Safety", descending=True)
        assert best["model"][0].startswith("HFXM/RAMO")
        found = benchmarks.place(board, "Safety", 0.9756, n=450, skip=best["model"][0])
        assert (round(found.low, 3), round(found.high, 3)) == (0.957, 0.986)
        assert found.rank == 1
        assert found.best == 1
        assert found.worst >= 3
        assert set(best["model"][1:3]) <= set(found.alike)

    def test_a_place_far_from_all_others_is_sure(self):
        board = pl.DataFrame({"model": ["a", "b"], "type": ["x", "x"], "Score": [0.9, 0.1]})
        found = benchmarks.place(board, "Score", 0.5, n=1000)
        assert (found.rank, found.best, found.worst, found.alike) == (2, 2, 2, ())

    def test_a_card_takes_its_places(self, real_data):
        rows = [
            (f"{i}", "Safety", f"{i}", 1, (float(i % 20 > 0), 0.5, 0.2, 0.1)) for i in range(400)
        ]
        card = evaluation("rewardbench-2", rows).card
        found = benchmarks.places_of(card, benchmarks.board("rewardbench-2"))
        assert found["section"].to_list() == ["Safety"]
        assert found["best"].item() < found["rank"].item() < found["worst"].item()

    def test_what_is_no_board_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RULEKIT_DATA", str(tmp_path))
        with pytest.raises(FileNotFoundError, match="no board of rewardbench"):
            benchmarks.board("rewardbench")
        with pytest.raises(ValueError, match="'rmb' has no board here"):
            benchmarks.board("rmb")
        (tmp_path / "b.csv").write_text("model,Score\na,1\n")
        with pytest.raises(ValueError, match="no column 'Chat'"):
            benchmarks.board("rewardbench", tmp_path / "b.csv")
