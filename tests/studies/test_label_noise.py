"""Error in labels: what is flipped, what is kept, and what a model makes of chance and of a pattern."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk


@pytest.fixture(scope="module")
def pairs():
    """Forty prompts; the polite response is the better one, and mostly the longer one."""
    rows = []
    for i in range(40):
        good, bad = (
            f"Thank you for asking. Please see a doctor about case {i}.",
            f"Go away, fool {i}.",
        )
        if i % 4 == 0:
            bad = f"Go away, you fool, and never come back to me with such nonsense again, {i}."
        side = i % 2 == 0
        rows.append(
            {
                "pair_id": f"p{i}",
                "prompt": f"Question {i}?",
                "response_a": good if side else bad,
                "response_b": bad if side else good,
                "preference": 1 if side else -1,
            }
        )
    return rk.inputs.check_pairs(pl.DataFrame(rows, schema_overrides={"preference": pl.Int8}))


def test_a_share_of_the_targets_is_flipped_the_first_of_the_order_and_blanks_stay_blank():
    target = np.array([1.0, 0.0, np.nan, 0.8, 0.0])
    found = rk.studies.flipped(target, np.array([2, 3, 0, 1, 4]), 0.5)
    assert np.allclose(found, [0.0, 0.0, np.nan, 0.2, 0.0], equal_nan=True)
    assert target[3] == 0.8


def test_the_longer_response_is_wrongly_preferred_first_where_it_is_longer_by_most(pairs):
    order = rk.studies.flip_order(pairs, "longer")
    assert {int(i) % 4 for i in order[:10]} == {0}
    assert sorted(rk.studies.flip_order(pairs, "random", 3)) == list(range(40))
    with pytest.raises(ValueError, match="allowed: random, longer"):
        rk.studies.flip_order(pairs, "shorter")


def test_wrong_labels_are_counted_among_those_that_there_are(pairs):
    known = rk.studies.label_target(None, pairs)
    some = np.where(np.arange(40) < 20, known, np.nan)
    assert rk.studies.share_wrong(some, pairs) == 0
    some[:5] = 1 - some[:5]
    assert rk.studies.share_wrong(some, pairs) == 0.25


def test_the_control_has_as_many_wrong_labels_on_the_same_pairs(pairs):
    scores = rk.Scores.from_discrepancy(np.where(np.arange(40) < 30, 1.0, 0.0)[:, None])
    taught = rk.studies.label_sources(pairs, {"rules": rk.label(scores), "known": None}, draws=2)
    (control,) = (t for name, t in taught.items() if "flipped" in name)
    assert control.shape == (2, 40)
    for draw in control:
        assert np.isnan(draw).sum() == 10
        assert rk.studies.share_wrong(draw, pairs) == rk.studies.share_wrong(taught["rules"], pairs)
    assert len(rk.studies.label_sources(pairs, {"rules": rk.label(scores)})) == 1


def test_a_curve_has_every_source_and_ends_with_all_labels(pairs):
    known = rk.studies.label_target(None, pairs)
    curve = rk.studies.learning_curve(pairs, {"known": known, "turned": 1 - known}, draws=2)
    last = curve.filter(pl.col("x") == 32)
    ends = dict(zip(last["series"], last["y"], strict=True))
    assert ends["known"] > 0.9
    assert ends["turned"] == pytest.approx(1 - ends["known"])
    assert rk.studies.learning_title(curve).startswith("With all labels: known ")


def test_rewards_of_a_pair_come_from_models_that_have_not_seen_its_prompt(pairs):
    known = rk.studies.label_target(None, pairs)
    rewards = rk.studies.rewards_of(pairs, known)
    margin = rk.training.cross_fit_rewards(pairs)
    assert np.allclose(rewards[:, 0] - rewards[:, 1], margin)
    frame = rk.studies.pair_rewards(pairs, {"known": known, "turned": 1 - known}, 3)
    assert frame["margin"][0] == pytest.approx(margin[3])
    assert frame["chance"][0] == pytest.approx(1 / (1 + np.exp(-margin[3])))
    said = rk.studies.pair_rewards_said(frame, -1)
    assert said.startswith("1 of 2 models prefer A, 1 prefer B. Known is B.")


def rows(values: dict) -> pl.DataFrame:
    return pl.DataFrame(
        [{"name": n, "value": v, "low": a, "high": b} for n, (v, a, b) in values.items()]
    )


def test_survival_is_claimed_only_where_the_whole_interval_allows_it():
    table = rows(
        {"as they are": (0.7, 0.6, 0.8), "at random": (0.68, 0.6, 0.7), "longer": (0.5, 0.4, 0.6)}
    )
    gains = rows({"at random": (-0.02, -0.05, 0.01), "longer": (-0.2, -0.3, -0.12)})
    said = rk.studies.noise_findings(table, gains)
    assert "**Random noise is survived.**" in said
    assert "**Systematic error is not survived.**" in said
    unsure = rows({"at random": (-0.02, -0.15, 0.01), "longer": (-0.2, -0.3, -0.05)})
    assert rk.studies.noise_findings(table, unsure).count("cannot be told") == 2
    coin = table.with_columns(low=0.4)
    assert "nothing to destroy" in rk.studies.noise_findings(coin, gains)


def test_flips_for_the_longer_response_cost_more_than_as_many_at_random(pairs):
    table, gains = rk.studies.noise_table(pairs, 0.25, draws=2)
    value = dict(zip(table["name"], table["value"], strict=True))
    assert value["labels as they are"] >= value["25 % flipped at random"] - 0.05
    assert set(gains["against"]) == {"labels as they are"}
