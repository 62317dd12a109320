"""What a judge's discrepancies in two orders tell about its liking for a place."""

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import rulekit as rk
from rulekit.files import sha256
from rulekit.inputs.downloads import JUDGE_VOTES, JUDGES, judge_vote_table, obtain


def pairs_of(n: int, preference) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pair_id": [str(i) for i in range(n)],
            "prompt": [f"question {i}" for i in range(n)],
            "response_a": "one",
            "response_b": "two",
            "preference": np.asarray(preference, np.int8),
        }
    )


def test_small_leanings_to_the_first_place_show_and_decisions_do_not():
    n = 4000
    rng = np.random.default_rng(0)
    truth = rng.choice([-1, 1], n)
    decided = rng.random(n) < 0.5
    orders = []
    for place in (1, -1):
        leaning = np.where(rng.random(n) < 0.8, place, -place) * 0.0005
        opinion = np.where(rng.random(n) < 0.9, truth, -truth) * 0.8
        orders.append(np.where(decided, opinion, leaning))
    pairs = pairs_of(n, truth)
    identity = rk.Identity.of(rk.RuleSet.from_texts(["It is better."]), pairs)
    first, second = (rk.Scores.from_discrepancy(d[:, None], identity=identity) for d in orders)
    table = rk.studies.position_audit(pairs, first, second).filter(pl.col("n") > 0)
    rows = {(r["high_delta"], r["shown_first"]): r for r in table.iter_rows(named=True)}
    tiny, large = rows[0.001, "both"], rows[2.0, "both"]
    assert tiny["first_place_low"] > 0.75
    assert large["first_place_low"] < 0.5 < large["first_place_high"]
    assert tiny["kept"] == pytest.approx(2 * 0.8 * 0.2, abs=0.04)
    assert large["kept"] == pytest.approx(0.9**2 + 0.1**2, abs=0.04)
    assert large["right"] == pytest.approx(0.9, abs=0.03)
    assert tiny["right_low"] < 0.5 < tiny["right_high"]
    # Another order of the pairs, or of the second scores, changes nothing.
    turned = rk.studies.position_audit(pairs, first, second.rows(rng.permutation(n)))
    assert turned.filter(pl.col("n") > 0).equals(table)


def test_where_the_better_response_always_came_first_tiny_signs_predict_it():
    """One order alone looks like quality; the other order gives the lie to it."""
    n, rng = 1000, np.random.default_rng(1)
    pairs = pairs_of(n, np.ones(n))
    place = np.where(rng.random(n) < 0.85, 1, -1) * 0.0004
    turned = -np.where(rng.random(n) < 0.85, 1, -1) * 0.0004
    first, second = (
        rk.Scores.from_discrepancy(d[:, None], rule_ids=["r"], pair_ids=pairs["pair_id"])
        for d in (place, turned)
    )
    table = rk.studies.position_audit(pairs, first, second, edges=(0, 0.001, 2))
    right = dict(table.filter(pl.col("n") > 0).select("shown_first", "right").iter_rows())
    assert right["response_a"] > 0.8
    assert right["response_b"] < 0.2


def test_edges_that_do_not_rise_and_scores_of_other_pairs_are_refused():
    pairs = pairs_of(3, [1, 1, -1])
    scores = rk.Scores.from_discrepancy(np.ones((3, 1)), pair_ids=pairs["pair_id"])
    with pytest.raises(ValueError, match="allowed: rising numbers from 0"):
        rk.studies.position_audit(pairs, scores, scores, edges=(0.1, 0.5))
    other = rk.Scores.from_discrepancy(np.ones((3, 1)), pair_ids=["x", "y", "z"])
    with pytest.raises(ValueError, match="pair '0' is not in it"):
        rk.studies.position_audit(pairs, scores, other)


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*rows skipped")
class TestRealVotes:
    def test_under_a_thousandth_gpt_4o_prefers_the_second_place_and_over_a_half_neither(
        self, real_data
    ):
        """Reference of the data's card: the first place in 36 to 44 %, and in 51 % over .5."""
        table = rk.studies.position_audit(*rk.sources.load_both_orders("gpt-4o"))
        both = table.filter(shown_first="both")
        assert 0.36 < both["first_place"][0] < 0.44
        assert both["first_place_high"][0] < 0.45
        assert both["first_place"][-1] == pytest.approx(0.51, abs=0.02)

    def test_ratings_come_with_a_dead_zone_and_without_it_they_leak(self, real_data):
        pairs = rk.load_pairs("hh-rule-votes")
        _, scores = rk.sources.load_ratings("hh-rule-votes")
        _, raw = rk.sources.load_ratings("hh-rule-votes", dead_zone=0)
        size = np.abs(scores.discrepancy)
        assert size[size > 0].min() >= 0.01
        kept = np.abs(raw.discrepancy) >= 0.01
        assert np.array_equal(scores.discrepancy[kept], raw.discrepancy[kept])
        rng = np.random.default_rng(0)
        y = rng.choice([-1, 1], len(pairs))  # exchanged at random: the chosen one is always first
        tiny = np.where(np.abs(raw.discrepancy) < 0.001, np.sign(raw.discrepancy), 0) * y[:, None]
        fold = np.array(rk.inputs.folds(pairs))
        told = np.zeros(len(pairs))
        for f in range(5):
            fit = LogisticRegression(fit_intercept=False).fit(tiny[fold != f], y[fold != f])
            told[fold == f] = fit.predict(tiny[fold == f])
        assert (told == y).mean() > 0.8  # of signs that say nothing about the response
        with pytest.raises(ValueError, match="dead_zone is 3; allowed: 0 to 2"):
            rk.sources.load_ratings("hh-rule-votes", dead_zone=3)
        with pytest.raises(ValueError, match="unknown judge 'x'; allowed: gpt-4o"):
            rk.sources.load_both_orders("x")

    def test_the_download_is_converted_to_the_pinned_content(self, real_data):
        """The authors' files name the response shown first A, whatever people chose."""
        import gzip
        import json

        with gzip.open(real_data / "hh-rlhf/harmless-base-test.jsonl.gz", "rt") as file:
            dialogues = [json.loads(line)["chosen"] for line in file]
        votes, first = pl.read_csv(obtain(JUDGE_VOTES)), pl.col("order") == 0
        chosen, rejected = pl.col("p_chosen"), pl.col("p_rejected")
        public = votes.with_columns(
            prob_A=pl.when(first).then(chosen).otherwise(rejected),
            prob_B=pl.when(first).then(rejected).otherwise(chosen),
            prob_NA="p_neither",
        )
        tables = {judge: public.filter(pl.col("judge") == judge) for judge in JUDGES}
        assert sha256(judge_vote_table(tables, dialogues)) == JUDGE_VOTES.sha256
