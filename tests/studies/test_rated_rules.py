"""What rules say, counted by hand; and sentences that hold for one frame and not for another."""

import numpy as np
import polars as pl
import pytest
from markdown_it import MarkdownIt

import rulekit as rk


def pairs_of(n, prompts=None):
    return pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "prompt": prompts or [f"prompt {i}" for i in range(n)],
            "response_a": ["first"] * n,
            "response_b": ["second one"] * n,
            "preference": [1] * n,
        }
    )


def scores_of(delta, names=None):
    delta = np.asarray(delta, float)
    names = names or [f"r{j}" for j in range(delta.shape[1])]
    return rk.Scores.from_discrepancy(
        delta, rule_ids=names, pair_ids=[f"p{i}" for i in range(len(delta))]
    )


def test_coverage_and_decisiveness_are_shares_of_the_pairs():
    scores = scores_of([[0.9, 0.1, 0], [-0.9, 0.1, 0], [0.9, 0, 0], [0.2, 0, 0]])
    use = rk.studies.rule_use(pairs_of(4), scores)
    assert use["rule"].to_list() == ["r0", "r1", "r2"]
    assert use["coverage"].to_list() == [1.0, 0.5, 0.0]
    assert use["decisive"].to_list() == [0.75, 0.0, 0.0]
    assert use["for_a"].to_list() == [0.75, 1.0, None]
    assert use["mean_size"][0] == pytest.approx(0.725)
    assert (use["low"] <= use["coverage"]).all()
    assert (use["high"] >= use["coverage"]).all()


def test_scores_in_another_order_than_the_pairs_are_found_by_id():
    scores = scores_of([[1.0], [0.0], [0.0]]).rows([2, 1, 0])
    assert rk.studies.rule_use(pairs_of(3)[:1], scores)["coverage"].to_list() == [1.0]


def test_copies_stand_side_by_side_and_share_all_and_opposites_agree_nowhere():
    rng = np.random.default_rng(0)
    one, other = rng.choice([-0.8, 0.8], (2, 200))
    found = rk.studies.rule_agreement(scores_of(np.stack([one, other, one, -other], axis=1)))
    by = {(r["rule"], r["other"]): r for r in found.iter_rows(named=True)}
    assert by["r0", "r2"]["value"] == pytest.approx(1)
    assert by["r0", "r2"]["agree"] == 1
    assert by["r1", "r3"]["agree"] == 0
    assert by["r0", "r1"]["value"] < 0.1
    assert abs(by["r0", "r2"]["row"] - by["r0", "r2"]["column"]) == 1
    twins = rk.studies.repeated_rules(found)
    at = found.filter((pl.col("rule") == twins["rule"][0]) & (pl.col("other") == twins["other"][0]))
    assert twins["cell"][0] == f"{at['row'][0]}, {at['column'][0]}"
    assert {frozenset(row[:2]) for row in twins.rows()} == {
        frozenset({"r0", "r2"}),
        frozenset({"r1", "r3"}),
    }


def test_a_large_rule_set_is_shown_by_the_rules_that_vote_most():
    rng = np.random.default_rng(0)
    delta = rng.choice([-0.8, 0.0, 0.8], (50, 90))
    delta[:, 80:] = 0
    found = rk.studies.rule_agreement(scores_of(delta))
    assert found["row"].n_unique() == 60
    assert not set(found["rule"]) & {f"r{j}" for j in range(80, 90)}
    assert len(found) <= 5_000


def test_a_map_of_some_rules_says_so_and_its_title_counts_couples():
    rng = np.random.default_rng(0)
    coins = rng.choice([-0.8, 0.8], (200, 3))
    some = rk.studies.rule_agreement(scores_of(coins), shown=2)
    title = rk.studies.repeated_title(some, 3)
    assert title.startswith("No couples of rules share half of what they say, or more")
    assert title.endswith("(drawn: the 2 rules that vote most often)")
    use = rk.studies.rule_use(pairs_of(200), scores_of(coins))
    words = rk.studies.rating_findings(use, scores_of(coins), some)
    assert "Of the 2 rules that vote most often no two share half" in words
    twice = rk.studies.rule_agreement(scores_of(np.hstack([coins, coins])))
    assert rk.studies.repeated_title(twice, 6) == (
        "3 couples of rules share half of what they say, or more"
    )
    once = rk.studies.rule_agreement(scores_of(coins[:, [0, 0, 1]]))
    assert rk.studies.repeated_title(once, 3) == (
        "1 couple of rules shares half of what it says, or more"
    )


def test_every_vote_is_called_decisive_only_where_the_ratings_are_whole_numbers():
    assert "every vote is decisive" in rk.studies.decisive_said(scores_of([[2.0, -1.0, 0.0]]))
    assert rk.studies.decisive_said(scores_of([[2.0, -0.9, 0.0]])) == ""


def test_one_rule_agrees_with_no_other():
    use = rk.studies.rule_use(pairs_of(2), scores_of([[0.8], [0.8]]))
    none = rk.studies.rule_agreement(scores_of([[0.8], [0.8]]))
    assert none.is_empty()
    assert "1.0 of the 1 rules are decisive" in rk.studies.rating_findings(
        use, scores_of([[0.8], [0.8]]), none
    )


def test_a_response_of_several_pairs_is_rated_once_and_k_rules_cost_k_ratings_a_response():
    pairs, rules = pairs_of(4, ["x"] * 4), rk.RuleSet.from_texts([f"It is {i}." for i in range(10)])
    cost = rk.studies.rating_cost(pairs, rules, (1, 10, 99))
    assert cost["rules"].to_list() == [10, 1]
    assert cost["ratings"].to_list() == [20, 8]
    assert cost["share"].to_list() == [1.0, 0.4]
    assert cost["tokens"][0] == round(20 * ((1 + (5 + 10) / 2) + 8) / 4)


def test_why_few_rules_take_more_than_their_share_is_said_only_where_they_do():
    rules = rk.RuleSet.from_texts([f"It is {i}." for i in range(10)])
    shared = pairs_of(4, ["x"] * 4)
    assert "1 of 10 rules take up to 40 % of the ratings, not 10 %" in rk.studies.cost_said(
        rk.studies.rating_cost(shared, rules, (1,)), len(shared)
    )
    assert "stands in 4 pairs" in rk.studies.cost_said(
        rk.studies.rating_cost(shared, rules, (1,)), len(shared)
    )
    own = pairs_of(4)
    assert rk.studies.cost_said(rk.studies.rating_cost(own, rules, (1,)), len(own)) == ""
    assert rk.studies.cost_said(rk.studies.rating_cost(shared, rules, (10,)), len(shared)) == ""


def said(delta, prompts=None):
    scores = scores_of(delta)
    use = rk.studies.rule_use(pairs_of(len(delta), prompts), scores)
    return rk.studies.rating_findings(use, scores, rk.studies.rule_agreement(scores))


def test_findings_name_what_is_silent_rare_one_sided_and_repeated():
    rng = np.random.default_rng(1)
    delta = np.zeros((300, 5))
    delta[:, 0] = delta[:, 1] = rng.choice([-0.8, 0.8], 300)
    delta[0, 2] = 0.8
    delta[:40, 3] = 0.8
    delta[299] = 0
    text = said(delta)
    assert "No rule says anything on 1 of 300 pairs" in text
    assert "`r4` never votes" in text
    assert "`r2` seldom votes: even the upper end of its interval is below 5 %" in text
    assert "`r3` always votes for the same place" in text
    assert (
        "1 couple of rules shares half of what it says, or more, most of all `r0` and `r1`" in text
    )


def test_findings_claim_nothing_of_that_where_it_is_not_so():
    rng = np.random.default_rng(2)
    text = said(rng.choice([-0.8, 0.8], (300, 3)))
    for claim in ("never vote", "below 5 %", "same place", "anything on", "most of all"):
        assert claim not in text
    assert "No two rules share half of what they say." in text


def test_a_rule_is_not_called_rare_from_few_pairs():
    delta = np.zeros((12, 2))
    delta[:, 0] = 0.8
    delta[0, 1] = 0.8
    assert "below 5 %" not in said(delta)


def test_a_rule_whose_id_is_markup_stays_a_text_in_the_conclusion():
    hostile = "a`<img src=x onerror=alert(1)>"
    scores = scores_of(np.full((12, 2), 0.5), [hostile, "b"])
    use = rk.studies.rule_use(pairs_of(12), scores)
    said = rk.studies.rating_findings(use, scores, rk.studies.rule_agreement(scores))
    html = MarkdownIt().render(said)
    assert "onerror=alert(1)" in html
    assert "<img" not in html
