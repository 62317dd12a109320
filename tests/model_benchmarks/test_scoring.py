"""Every benchmark's rule on hand-made scores, and on published ones."""

import gzip
import math

import numpy as np
import polars as pl
import pytest

from rulekit.benchmarks import scoring


def items(*rows, subset="all"):
    """Items from (item, n_right, scores) or (item, n_right, scores, subset)."""
    return pl.DataFrame(
        {
            "item": [r[0] for r in rows],
            "subset": [r[3] if len(r) > 3 else subset for r in rows],
            "group": [r[0] for r in rows],
            "n_right": [r[1] for r in rows],
            "scores": [[float(s) for s in r[2]] for r in rows],
        }
    )


class TestRewardBench:
    def test_a_tie_is_lost_and_counts_half_beside_it(self):
        card = scoring.score_rewardbench(
            items(("1", 1, [2, 1]), ("2", 1, [1, 1]), ("3", 1, [0, 1]), subset="donotanswer")
        )
        assert card.subsets["value"].item() == pytest.approx(1 / 3)
        assert card.subsets["half"].item() == pytest.approx(1 / 2)

    def test_subsets_weigh_by_the_published_counts_whatever_was_run(self):
        rows = [(f"m{i}", 1, [1, 0], "math-prm") for i in range(2)]
        rows += [
            (f"{s}{i}", 1, [0, 1], s)
            for s in ("hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust")
            for i in range(5)
        ]
        card = scoring.score_rewardbench(items(*rows))
        section = card.sections.row(by_predicate=pl.col("section") == "Reasoning", named=True)
        assert section["value"] == pytest.approx(984 / (984 + 6 * 164))
        assert section["complete"]
        assert section["n"] == 32

    def test_a_section_without_all_its_subsets_is_incomplete_and_there_is_no_score(self):
        card = scoring.score_rewardbench(items(("1", 1, [1, 0]), subset="donotanswer"))
        assert card.sections["complete"].to_list() == [False]
        assert math.isnan(card.score)

    def test_prior_sets_weigh_half_a_section(self):
        every = [s for members in scoring.REWARDBENCH.values() for s in members]
        rows = [(s, 1, [1, 0], s) for s in every]
        assert scoring.score_rewardbench(items(*rows)).score == pytest.approx(1)
        rows += [(s, 1, [0, 1], s) for s in scoring.PRIOR_SETS]
        assert scoring.score_rewardbench(items(*rows)).score == pytest.approx(8 / 9)

    def test_published_totals_follow_from_their_sections(self, real_data):
        board = pl.read_csv(real_data / "benchmarks/rewardbench-1-leaderboard-2025-12-22.csv")
        board = board.filter(pl.all_horizontal(pl.col("Score", *scoring.REWARDBENCH).is_not_null()))
        sections = board.select(list(scoring.REWARDBENCH)).to_numpy()
        prior = board["Prior Sets (0.5 weight)"].cast(pl.Float64).to_numpy()
        plain = sections.mean(axis=1)
        found = np.where(np.isnan(prior), plain, (2 * sections.sum(axis=1) + prior) / 9)
        off = np.minimum(abs(found - board["Score"]), abs(plain - board["Score"]))
        assert (off < 2e-4).sum() == 172


class TestRewardBench2:
    def test_a_shared_first_place_counts_its_share(self):
        card = scoring.score_rewardbench2(
            items(
                ("1", 1, [3, 1, 2, 0]),
                ("2", 1, [3, 3, 2, 0]),
                ("3", 1, [3, 3, 3, 3]),
                ("4", 1, [2, 3, 0, 0]),
                subset="Math",
            )
        )
        assert card.subsets["value"].item() == pytest.approx((1 + 1 / 2 + 1 / 4 + 0) / 4)

    def test_ties_by_hand(self):
        """Two prompts; the second's spread is wider than its gaps."""
        found = scoring.ties_score(
            items(
                ("ref:1", 1, [5, 1]),
                ("tied:1", 2, [5, 4, 2]),
                ("ref:2", 1, [3, 2]),
                ("tied:2", 3, [9, 6, 5, 4]),
            )
        )
        # gaps: 4 and 2, spread 1; 1 and 1, spread 4
        margin = (math.tanh(2 / 1 - 1) + math.tanh(1 / 4 - 1)) / 2
        assert found == pytest.approx(0.3 + 0.3 + 0.2 * 0.5 + 0.2 * 0.5 + 0.01 * margin)

    def test_a_prompt_with_one_kind_counts_for_accuracy_alone(self):
        both = [("ref:1", 1, [5, 1]), ("tied:1", 2, [5, 4, 2])]
        with_more = scoring.ties_score(items(*both, ("ref:2", 1, [0, 1])))
        assert with_more == pytest.approx(0.3 + 0.15 + 0.4 + 0.01 * math.tanh(1))

    def test_no_spread_and_no_gap_is_zero_and_no_spread_alone_is_one(self):
        flat = items(("ref:1", 1, [1, 1]), ("tied:1", 2, [1, 1, 1]))
        assert scoring.ties_score(flat) == 0
        right = items(("ref:1", 1, [2, 1]), ("tied:1", 2, [2, 2, 1]))
        assert scoring.ties_score(right) == pytest.approx(1.01)

    def test_another_name_among_ties_is_refused(self):
        with pytest.raises(ValueError, match="'x:1'; allowed: 'ref:N' or 'tied:N'"):
            scoring.ties_score(items(("x:1", 1, [1, 0])))

    def test_the_interval_of_ties_holds_its_value(self):
        rng = np.random.default_rng(0)
        rows = []
        for i in range(30):
            rows.append((f"ref:{i}", 1, rng.normal(size=4) + np.eye(4)[0], "Ties"))
            rows.append((f"tied:{i}", 2, rng.normal(size=5) + np.eye(5)[:2].sum(axis=0), "Ties"))
        section = scoring.score_rewardbench2(items(*rows)).sections.row(0, named=True)
        assert section["low"] < section["value"] < section["high"]

    def test_published_totals_follow_from_their_sections(self, real_data):
        board = pl.read_csv(real_data / "benchmarks/rewardbench-2-leaderboard-2025-12-22.csv")
        mean = board.select([*scoring.REWARDBENCH_2, "Ties"]).to_numpy().mean(axis=1)
        assert len(board) == 197
        assert abs(mean - board["Score"].to_numpy()).max() < 2e-4


class TestOthers:
    def test_rm_bench_puts_the_richer_wrong_style_above_the_diagonal(self):
        """The chosen response wins wherever its style is at least as rich."""
        row = [1.0, 2.0, 3.0, 0.5, 1.5, 2.5]
        card = scoring.score_rm_bench(items(("1", 3, row), subset="chat"))
        found = dict(card.sections.select("section", "value").rows())
        assert found == {"chat": pytest.approx(6 / 9), "hard": 0, "normal": 1, "easy": 1}
        assert math.isnan(card.score)  # three domains are missing

    def test_rm_bench_pools_the_two_parts_of_safety_by_items(self):
        good, bad = [3, 3, 3, 0, 0, 0], [0, 0, 0, 3, 3, 3]
        rows = [("1", 3, good, "safety-refuse"), ("2", 3, good, "safety-refuse")]
        rows += [("3", 3, bad, "safety-response")]
        rows += [(d, 3, good, d) for d in ("chat", "code", "math")]
        card = scoring.score_rm_bench(items(*rows))
        assert card.score == pytest.approx((3 + 2 / 3) / 4)

    def test_rmb_best_of_n_is_won_only_against_every_loser(self):
        card = scoring.score_rmb(
            items(
                ("1", 1, [2, 1, 2], "bon/helpfulness/chat"),
                ("2", 1, [2, 1, 0], "bon/helpfulness/code"),
                ("3", 1, [2, 1], "pairwise/helpfulness/chat"),
            )
        )
        found = dict(card.sections.select("section", "value").rows())
        assert found == {"bon/helpfulness": 0.5, "pairwise/helpfulness": 1}
        assert card.score == 0.75

    def test_judgebench_gives_the_five_published_figures(self, real_data):
        path = real_data / "benchmarks/judgebench-reward-model-scores.csv.gz"
        scores = pl.read_csv(gzip.decompress(path.read_bytes()))
        first = pl.col("label") == "A>B"
        right, wrong = (
            pl.when(first).then(f"score_{one}").otherwise(f"score_{two}")
            for one, two in ("ab", "ba")
        )
        scores = scores.with_columns(
            item="pair_id",
            subset="source",
            group="pair_id",
            n_right=pl.lit(1),
            scores=pl.concat_list(right, wrong),
        )
        found = [
            100 * scoring.score_judgebench(part).score
            for _, part in scores.group_by("model", maintain_order=True)
        ]
        assert found == pytest.approx([59.43, 64.29, 62.29, 63.43, 59.43], abs=0.005)

    def test_lists_are_won_where_every_right_one_is_above_every_wrong_one(self):
        card = scoring.score_pairs(
            items(("1", 2, [3, 2, 1]), ("2", 2, [3, 1, 2]), ("3", 2, [3, 2, 2]))
        )
        assert card.items["won"].to_list() == [1, 0, 0]
        assert card.items["half"].to_list() == [1, 0, 0.5]

    @pytest.mark.parametrize(
        ("row", "told"),
        [
            (("1", 1, [1, float("nan")]), "item '1' has a response without a score"),
            (("1", 2, [1, 2]), "item '1' has 2 right of 2; allowed: some of each"),
        ],
    )
    def test_scores_that_say_nothing_are_refused(self, row, told):
        with pytest.raises(ValueError, match=told):
            scoring.score_pairs(items(row))

    def test_an_unknown_subset_is_refused_by_name(self):
        with pytest.raises(ValueError, match="unknown subset 'chess'; allowed: Factuality"):
            scoring.score_rewardbench2(items(("1", 1, [1, 0]), subset="chess"))


def test_the_interval_of_a_weighted_mean_covers():
    """Two subsets, one near 1: at least 93 % of 400 draws hold the truth."""
    from rulekit.benchmarks.scorecard import weighted_mean
    from rulekit.measures import mean_accuracy

    rng = np.random.default_rng(1)
    truth = (100 * 0.98 + 40 * 0.7) / 140
    held = 0
    for _ in range(400):
        parts = [mean_accuracy(rng.random(n) < p) for n, p in ((100, 0.98), (40, 0.7))]
        _, low, high = weighted_mean([(a.value, a.low, a.high) for a in parts], [100, 40])
        held += low <= truth <= high
    assert held >= 372
