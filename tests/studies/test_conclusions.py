"""Conclusions in words: claimed where the interval of the difference allows it, and not elsewhere."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.studies import phrases
from tests.studies.test_selection_accuracy import planted

SURE = {"value": 0.1, "low": 0.04, "high": 0.16, "p_value": 0.001}
UNSURE = {"value": 0.03, "low": -0.01, "high": 0.07, "p_value": 0.14}


def negative(row):
    return row | {"value": -row["value"], "low": -row["high"], "high": -row["low"]}


def gain(name, row, against="the sum"):
    return {"name": name, "against": against, **row}


def accuracy(name, value=0.7, n=100):
    return {"name": name, "value": value, "low": value - 0.05, "high": value + 0.05, "n": n}


def test_a_difference_is_claimed_with_its_size_only_where_its_interval_excludes_zero():
    assert phrases.compared("X", "Y", SURE) == "X is above Y by 10.0 points [4.0, 16.0]"
    assert phrases.compared("X", "Y", negative(SURE)) == "X is below Y by 10.0 points [4.0, 16.0]"
    said = phrases.compared("X", "Y", UNSURE)
    assert said == "X cannot be told apart from Y (+3.0 points [−1.0, +7.0])"


def test_a_claim_among_several_needs_a_smaller_p_value():
    row = SURE | {"p_value": 0.02}
    assert phrases.verdict(row) == 1
    assert phrases.verdict(row, tests=5) == 0
    assert phrases.verdict({"low": 0.1, "high": 0.2}) == 1  # without a p-value the interval decides


def adapter_figures(row):
    return {
        "recall_at_k": 0.4,
        "frequent_recall_at_k": 0.3,
        "random_recall_at_k": 0.05,
        "recall_over_frequent": row,
        "rule_adapter_label_agreement": {"value": 0.8, "low": 0.7, "high": 0.9},
        "random_label_agreement": {"value": 0.6, "low": 0.5, "high": 0.7},
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [(SURE, "above always"), (UNSURE, "not to be told from always"), (negative(SURE), "below")],
)
def test_an_adapter_is_praised_only_if_it_beats_the_most_frequent_rules(row, words):
    gains = pl.DataFrame([gain("the rules the adapter names", negative(SURE))])
    said = rk.studies.adapter_findings(adapter_figures(row), gains, 5, 100)
    assert words in said
    assert "is below that with the sum by 10.0 points" in said
    assert "5 of 100 rules" in said


def test_without_known_preferences_an_adapters_labels_are_not_called_right():
    gains = pl.DataFrame(schema={"name": pl.String, "against": pl.String, "value": float})
    said = rk.studies.adapter_findings(adapter_figures(SURE), gains, 5, 100)
    assert "Without known preferences nobody can say" in said


def test_a_reward_model_is_compared_and_length_is_warned_of():
    table = pl.DataFrame([accuracy("longer response", 0.6), accuracy("trained on a", 0.7)])
    said = rk.studies.reward_findings(table, pl.DataFrame([gain("trained on b", UNSURE)]))
    assert "The model *trained on b* cannot be told apart from" in said
    assert "longer response is preferred more often than not" in said
    level = pl.DataFrame([accuracy("longer response", 0.5), accuracy("trained on a", 0.7)])
    assert "longer" not in rk.studies.reward_findings(level, pl.DataFrame([gain("b", SURE)]))
    agreed = rk.studies.reward_findings(table, pl.DataFrame([gain("b", SURE)]), "agreement")
    assert "longer response is preferred" not in agreed
    assert "agreement 70.0 %" in agreed


def results(best, cheap):
    """A frame of `results_table`: the sum, one better way, one that rates less."""
    gains = ({}, best, cheap)
    names = (rk.studies.SUM, "all rules, weighted", "5 named by the adapter")
    rows = [
        accuracy(name, value)
        | {"share": share}
        | {f"gain{end}": row.get(key) for end, key in zip(("", "_low", "_high", "_p"), SURE, strict=True)}
        for name, value, share, row in zip(names, (0.7, 0.8, 0.6), (1.0, 1.0, 0.05), gains, strict=True)
    ]  # fmt: skip
    rows.append({**rows[2], "name": "5 at random", "value": 0.55})
    return pl.DataFrame(rows).sort("value", descending=True)


FIGURES = {"n_rules": 12, "decisive": 2.0, "none": 0.1, "effective": 5.0, "silent": 0}


def test_the_page_of_results_claims_what_the_intervals_allow():
    none = pl.DataFrame(schema={"name": pl.String, "value": float})
    said = rk.studies.results_findings(results(SURE, negative(SURE)), none, FIGURES, True)
    assert said.count("\n") == 2  # three sentences
    assert (
        "*all rules, weighted*, the highest of the other ways with 80.0 % [75.0, 85.0], is above"
        in said
    )
    assert "for 5 % of the ratings" in said
    assert "is below the sum by 10.0 points" in said
    assert "None was measured" in said
    said = rk.studies.results_findings(results(UNSURE, UNSURE), none, FIGURES, True)
    assert said.count("cannot be told apart from") == 2
    assert "is above" not in said


def test_the_page_of_results_compares_the_reward_models():
    row = {"gain": -0.1, "gain_low": -0.2, "gain_high": -0.01, "gain_p": 0.01}
    blank = dict.fromkeys(row)
    reward = [
        accuracy("longer response", 0.5) | row,
        accuracy("trained on rule labels", 0.6) | row,
        accuracy("trained on known preferences", 0.7) | blank,
    ]
    frame = pl.DataFrame(reward, infer_schema_length=None)
    said = rk.studies.results_findings(results(SURE, SURE), frame, FIGURES, True)
    assert "*trained on rule labels* is right on 60.0 %" in said
    assert "preferences on 70.0 % [65.0, 75.0]; the first is below the second by 10.0" in said


def unlabelled(pairs):
    return pairs.with_columns(preference=pl.lit(None, pl.Int64))


def test_ways_to_label_are_measured_with_and_without_known_preferences():
    pairs, scores = planted(n_prompts=12)
    ways = rk.studies.ways_to_label(pairs, scores, k=2, orders=3)
    table = rk.studies.results_table(pairs, ways, known=True)
    rows = {row["name"]: row for row in table.iter_rows(named=True)}
    assert rows["all rules, weighted"]["value"] > rows[rk.studies.SUM]["value"]  # one rule is right
    assert rows["all rules, weighted"]["gain_low"] > 0
    assert rows[rk.studies.SUM]["gain"] is None
    assert (rows["2 named by the adapter"]["rules"], rows["2 named by the adapter"]["share"]) == (
        2,
        0.25,
    )
    assert rows["2 of largest |δ|"]["ratings"] == 16  # an oracle sees all ratings
    blank = unlabelled(pairs)
    ways = rk.studies.ways_to_label(blank, scores, k=2, orders=3)
    table = rk.studies.results_table(blank, ways, known=False)
    assert not {"all rules, weighted", rk.studies.SUM} & set(table["name"])
    said = rk.studies.results_findings(
        table, pl.DataFrame(), rk.studies.rating_figures(scores), False
    )
    assert "Whether that is the better one is not known" in said
    assert "**Missing: known preferences.** 30 labelled pairs" in said
    cost = rk.studies.results_cost(blank, scores, ways, known=False)
    assert cost.filter(pl.col("rules") == 8)["value"].min() == 1.0
    reward = rk.studies.results_reward(blank, scores, ways, 2, known=False)
    assert reward["name"].to_list()[-1]


def test_with_four_prompts_nothing_is_learned_and_the_page_says_so():
    pairs, scores = planted(n_prompts=4)
    ways = rk.studies.ways_to_label(pairs, scores, k=2, orders=2)
    assert list(ways.labels) == [rk.studies.SUM, "2 of largest |δ|", "2 at random"]
    assert ways.order is None
    assert rk.studies.results_cost(pairs, scores, ways, known=True) is None
    reward = rk.studies.results_reward(pairs, scores, ways, 2, known=True)
    table = rk.studies.results_table(pairs, ways, known=True)
    said = rk.studies.results_findings(table, reward, rk.studies.rating_figures(scores), True)
    assert "Every way here but a random choice needs all ratings" in said
    assert any("fewer than 5 prompts" in one for one in rk.studies.limits(pairs, scores, True))


def test_limits_name_length_place_and_silent_rules():
    pairs, _ = planted(n_prompts=40)
    better = pl.when(pl.col("preference") > 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    long = pairs.with_columns(
        response_a=pl.when(better == "a").then(pl.lit("long text")).otherwise(pl.lit("no")),
        response_b=pl.when(better == "b").then(pl.lit("long text")).otherwise(pl.lit("no")),
    )
    quiet = rk.Scores.from_discrepancy(np.zeros((len(pairs), 3)))
    said = "\n".join(rk.studies.limits(long, quiet, True))
    assert "The longer response is the preferred one on 100.0 %" in said
    assert "3 of 3 rules tell the responses of no pair apart" in said
    assert "On 100 % of the pairs no rule" in said
    first = long.filter(pl.col("preference") > 0)
    said = "\n".join(
        rk.studies.limits(first, rk.Scores.from_discrepancy(np.zeros((len(first), 3))), True)
    )
    assert "A is the preferred response on 100.0 %" in said
    assert "no accuracy" in rk.studies.limits(long, quiet, False)[-2]


def test_one_pair_is_told_in_words():
    pairs, scores = planted(n_prompts=6)
    selection = rk.select(scores, 3)
    row = rk.studies.example_pair(pairs)["row"]
    rules = rk.RuleSet.from_texts([f"The response keeps rule {i}." for i in range(8)])
    found = rk.studies.chosen_rules(rules, scores, selection, row)
    assert found["rule"].str.starts_with("The response keeps rule").all()
    sides = {("for A", 1.0), ("for B", -1.0)}
    assert set(zip(found["speaks"], found["discrepancy"], strict=True)) <= sides
    assert rk.studies.preferred(-1) == "B is preferred"
    assert rk.studies.preferred(None) == "not known"


def regimes(value):
    methods = {"max_discrepancy": value, "random": 0.6, "all": 0.7, "log_odds": 0.9}
    return pl.DataFrame(
        [{"regime": "equal", "method": m, "value": v, "error": 0.003} for m, v in methods.items()]
    )


def test_the_theory_page_claims_optimality_only_without_a_shortfall():
    check = [{"link": "σ", "pairs": 9, "largest_shortfall": 1e-15}]
    said = rk.studies.theory_findings(check, regimes(0.65), True)
    assert "no subset told more" in said
    assert "above random rules in `equal`" in said
    assert "below the sum of all rules in `equal`" in said
    check[0]["largest_shortfall"] = 0.02
    said = rk.studies.theory_findings(check, regimes(0.601), False)
    assert "lacked up to 0.02 bits" in said
    assert "level with random rules" in said
    assert "A label never told more" not in said


def test_votes_never_make_one_bit():
    table = rk.studies.votes_for_a_bit([0.5, 0.6])
    assert table["votes"].to_list() == [None, 35]
    assert table["told"][1] == pytest.approx(0.607, abs=5e-4)


def estimator_frames(high=0.97, low=0.03):
    kinds = {"series": ["plugin", "miller_madow"], "n": [20, 20], "bias": [0.04, 0.001]}
    mixture = {"series": ["mixed"], "n": [500], "bias": [0.004], "error": [0.004]}
    covers = {"case": ["c"], "estimator": ["mixed"], "covers": [0.93], "high": [high]}
    false = {
        "n": [100, 100],
        "found by": ["p ≤ .05", "q ≤ .1"],
        "false among the found": [0.2, 0.09],
    }
    uniform = {"null": ["votes"], "p ≤ .05": [0.05], "low": [low]}
    return [pl.DataFrame(frame) for frame in (kinds, mixture, covers, uniform, false)]


def test_the_estimators_page_names_short_intervals_and_frequent_p_values_only_where_they_are():
    said = rk.studies.estimator_findings(*estimator_frames())
    assert "No kind of interval was found to be too short" in said
    assert "no more than chance explains" in said
    assert "as often as it may" in said
    said = rk.studies.estimator_findings(*estimator_frames(high=0.94, low=0.06))
    assert "1 of 1 kinds of interval" in said
    assert "came too often" in said


def test_the_comparison_page_tells_a_loss_of_frugal_and_whose_confidence_is_too_high():
    gaps = {"regime": ["equal", "sparse"], "labelled": [30, 30], "over_plain": [-0.05, 0.1]}
    gaps = pl.DataFrame(gaps).with_columns(over_plain_se=pl.lit(0.005))
    ratings = pl.DataFrame(
        [
            {"data": "embedded", "selector": s, "label": w, "labelled": 30, "rated": r}
            | {"gain": g, "se": 0.01}
            for s, w, r, g in (
                ("adaptive", "weighted", 100.0, 0.005),
                ("frugal", "weighted", 5.0, -0.06),
                ("frugal", "sum", 5.0, -0.05),
            )
        ]
    )
    sure = {"label": ["majority", "weighted"], "confidence": [0.97, 0.85], "accuracy": [0.8, 0.86]}
    said = rk.studies.comparison_findings(gaps, ratings, pl.DataFrame(sure).with_columns(n=9))
    assert "above the best plain selector in `sparse` and more than .01 below it in `equal`" in said
    assert (
        "`adaptive`, which has 100 rules rated, weighted, against the sum of all rules: cannot"
        in said
    )
    assert (
        "`frugal`, which has 5 rules rated, weighted, against the sum of all rules: below (−6.0"
        in said
    )
    assert (
        "`frugal`, which has 5 rules rated, summed, against the sum of all rules: below (−5.0"
        in said
    )
    assert "`majority` is 17.0 points too high" in said
    assert "`weighted` is 1.0 points too low" in said


def report(low):
    of = {"relevant_auc": 0.88, "satisfied_auc": 0.7}
    figures = {}
    for name, value in of.items():
        figures |= {name: value, f"{name}_low": low, f"{name}_high": value + 0.03}
        figures |= {f"floor_{name}": 0.6, f"floor_{name}_low": 0.57, f"floor_{name}_high": 0.63}
    return figures


def test_the_judge_page_claims_more_than_the_floor_only_where_intervals_part():
    assert rk.studies.judge_findings(report(0.66)).count("above each rule's own frequency") == 2
    said = rk.studies.judge_findings(report(0.62))
    assert said.count("not to be told from each rule's own frequency") == 2
    assert "The topic is easier than the sign, for the judge." in said
    ways = pl.DataFrame([{"subset": f"s{v}", **accuracy("", v)} for v in (0.2, 0.52, 0.8)])
    said = rk.studies.judge_findings(report(0.62), None, ways)
    assert "`s0.2`: its labels go the right way less often than a coin's" in said
    assert "`s0.52`: its labels go the right way not surely more" in said
    assert "`s0.8`: its labels go the right way more often than" in said


def test_the_chart_of_a_judge_names_the_floor_as_such_on_both_questions():
    areas = rk.studies.judge_areas(report(0.62))
    assert [name.rpartition("? ")[2] for name in areas["name"]] == [
        "the judge",
        "floor: each rule's frequency",
    ] * 2
    assert areas["value"].to_list() == [0.88, 0.6, 0.7, 0.6]


def test_the_easier_question_is_told_with_what_the_judge_adds_to_the_floor_on_each():
    areas = {"relevant_auc": 0.9, "floor_relevant_auc": 0.8}
    areas |= {"satisfied_auc": 0.7, "floor_satisfied_auc": 0.6}
    said = rk.studies.topic_and_sign(areas)
    assert "The topic is easier than the sign, for the floor and for the judge." in said
    assert (
        "the judge gets 50 % on the topic, 25 % on the sign: (judge − floor) / (1 − floor)" in said
    )
    turned = rk.studies.topic_and_sign(areas | {"relevant_auc": 0.65})
    assert (
        turned == "The sign is easier than the topic, for the judge."
    )  # below its floor: no share
    level = rk.studies.topic_and_sign(areas | {"satisfied_auc": 0.9})
    assert "equally easy" in level


def test_the_page_on_judge_quality_tells_chance_from_knowledge_and_what_rating_less_costs():
    head = {"reference": 0.5, "n": 400}
    overall = pl.DataFrame(
        [
            {"figure": "relevant_auc", "value": 0.8, "low": 0.7, "high": 0.9, **head},
            {"figure": "satisfied_auc", "value": 0.52, "low": 0.47, "high": 0.57, **head},
        ]
    )
    rows = [(5, 0.6), (50, 0.795), (100, 0.8)]
    curve = pl.DataFrame(
        [
            accuracy("", v) | {"order": "adapter", "rules": float(r), "cost": r / 100}
            for r, v in rows
        ]
    )
    said = rk.studies.quality_findings(overall, curve, "encoder")
    assert "ranks which rules matter better than chance" in said
    assert "ranks which are satisfied not to be told from chance" in said
    assert "50.0 % of the ratings come within a point" in said
    assert rk.studies.enough_ratings(curve) == {"adapter": 0.5}


def test_the_performance_page_reads_ratios_and_calls_a_slower_kit_slower():
    printed = {"training": "rulekit / TRL, dynamic padding: 1.30 (x)\nrulekit / TRL: 0.50 (x)"}
    ratios = rk.studies.peer_ratios(printed)
    assert ratios["times"].to_list() == [1.3, 0.5]
    said = rk.studies.speed_findings(ratios)
    assert "faster: training: TRL, dynamic padding (1.3 times)" in said
    assert "slower: training: TRL (0.5 times)" in said
    assert "No benchmark was run" in rk.studies.speed_findings(rk.studies.peer_ratios({}))


def test_two_ends_become_one_column_of_text():
    frame = pl.DataFrame(
        {"name": ["x", "y"], "low": [0.1, None], "high": [0.256, None], "n": [1, 2]}
    )
    found = rk.studies.joined_interval(frame)
    assert found.columns == ["name", "interval", "n"]
    assert found["interval"].to_list() == ["10.0 to 25.6", "–"]


def test_gains_for_reading_have_points_an_interval_and_a_short_p():
    frame = pl.DataFrame([gain("x", negative(SURE)), gain("y", UNSURE)])
    found = rk.studies.gain_rows(frame.with_columns(p_value=pl.Series([0.0004, 0.16])))
    assert found["p"].to_list() == ["<.001", "0.160"]
    assert found["interval"].to_list() == ["−16.0 to −4.0", "−1.0 to 7.0"]
    assert found["excludes_0"].to_list() == [True, False]
