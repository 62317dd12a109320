"""Labels of real pairs held against people's choice: by hand, and with the readings themselves."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk

studies = rk.studies


def pairs_of(preference, a="aaaa", b="b"):
    n = len(preference)
    return pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "prompt": [f"prompt {i}" for i in range(n)],
            "response_a": [a] * n,
            "response_b": [b] * n,
            "preference": preference,
        }
    )


def scores_of(delta):
    return rk.Scores.from_discrepancy(
        delta,
        np.ones_like(delta) / 2,
        rule_ids=[f"r{j}" for j in range(delta.shape[1])],
        pair_ids=[f"p{i}" for i in range(len(delta))],
    )


def world(n=120, m=12, seed=0):
    """Pairs whose rules are right with .7, but the last two, which are wrong with .9."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    right = np.where(np.arange(m) < m - 2, 0.7, 0.1)
    votes = np.where(rng.random((n, m)) < right, y[:, None], -y[:, None])
    return pairs_of(y), scores_of(votes * rng.uniform(0.2, 1, (n, m)))


def test_a_table_has_accuracies_gains_and_what_length_explains():
    pairs = pairs_of([1, 1, -1, -1])  # A is the longer response
    margins = {"sum of all rules": np.array([1.0, 1, -1, 1]), "longer response": np.ones(4)}
    table = studies.real_table(pairs, margins)
    every, longer = table.to_dicts()
    assert (every["value"], every["longer"], every["shorter"]) == (0.75, 1.0, 0.5)
    assert (longer["value"], longer["longer"], longer["shorter"]) == (0.5, 1.0, 0.0)
    assert longer["gain"] == -0.25
    assert every["gain"] is None


def test_information_is_that_of_label_and_choice_though_the_chosen_always_comes_first():
    margins = {"sum of all rules": np.ones(400), "noise": np.tile([1.0, -1.0], 200)}
    table = studies.real_table(pairs_of([1] * 400), margins)
    assert table["bits"][0] == pytest.approx(1, abs=0.01)
    assert table["bits"][1] < 0.01


def test_weights_learned_from_other_prompts_turn_rules_that_are_wrong():
    pairs, scores = world()
    grid = studies.learned_grid(pairs, scores, (0, 60), (1, 3), repeats=2)
    every = grid.filter(pl.col("selector") == "all").sort("labelled")
    assert every["k"].to_list() == [12, 12]
    assert every["value"][1] > 0.9
    assert every["over_sum_low"][1] > 0
    assert set(grid["selector"]) == {"all", "adaptive", "frugal", "log_odds", "whitened"}


def test_labels_of_noise_are_learned_from_nothing():
    rng = np.random.default_rng(1)
    pairs, scores = pairs_of([1] * 150), scores_of(rng.uniform(-1, 1, (150, 8)))
    grid = studies.learned_grid(pairs, scores, (100,), (3,), repeats=2)
    assert (grid["low"] < 0.5).all()  # that the chosen one always comes first does not leak
    assert (grid["high"] > 0.5).all()


def test_more_labels_than_there_are_and_no_repeats_are_refused():
    pairs, scores = world(40)
    with pytest.raises(ValueError, match=r"labelled is \[39\]; allowed: 0 to 3\d"):
        studies.learned_grid(pairs, scores, (39,), (1,))
    with pytest.raises(ValueError, match="repeats is 0"):
        studies.learned_grid(pairs, scores, (0,), (1,), repeats=0)


def test_subsets_stand_apart():
    pairs = pairs_of([1, 1, -1, -1]).with_columns(subset=pl.Series(["x", "x", "y", "y"]))
    table = studies.subset_table(pairs, {"first": np.ones((3, 4))}, ["first"])
    assert table.select("subset", "value", "n").rows() == [("x", 1.0, 2), ("y", 0.0, 2)]
    with pytest.raises(ValueError, match="no column subset"):
        studies.subset_table(pairs.drop("subset"), {}, [])


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*rows skipped")
@pytest.mark.parametrize("source", ["hh-read", "xstest-read"])
def test_no_way_to_label_knows_which_response_people_chose(real_data, source):
    pairs, scores = rk.load_pairs(source), rk.sources.load_ratings(source)[1]
    scores = scores.of(pairs)
    found = studies.real_margins(pairs, scores, source, orders=1)
    turn = np.random.default_rng(0).choice([-1, 1], len(pairs))
    turned = pairs.with_columns(preference=pl.Series(turn * pairs["preference"].to_numpy()))
    half = scores.discrepancy * turn[:, None] / 2
    other = rk.Scores(half, -half, scores.relevance, identity=scores.identity)
    exchanged = studies.real_margins(turned, other, source, orders=1)
    for name in ("sum of all rules", "majority of all rules", "Dawid–Skene", "static", "dpp"):
        assert np.array_equal(np.sign(exchanged[name]) * turn, np.sign(found[name])), name


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*rows skipped")
def test_published_agreement_with_people(real_data):
    """Figures of the card: both sums above a coin, and neither to be told from one verdict."""
    for source, value in (("hh-read", 0.577), ("xstest-read", 0.958)):
        pairs, scores = rk.load_pairs(source), rk.sources.load_ratings(source)[1].of
        scores = scores(pairs)
        margins = {
            "sum of all rules": rk.label(scores).margin,
            "verdict without rules": studies.verdict_margin(pairs, source),
        }
        table = studies.real_table(pairs, margins)
        assert table["value"][0] == pytest.approx(value, abs=0.001)
        assert table["low"][0] > 0.5
        assert table["gain_low"][1] < 0 < table["gain_high"][1]
        single = studies.single_verdicts(pairs, source)
        assert np.array_equal(single.sum(axis=0), margins["verdict without rules"])
