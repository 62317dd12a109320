"""One run of an ablation: what is trained on, what is tested, what it costs, and what is said of many."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.studies.ablation import METHODS, N_REFERENCE


@pytest.fixture(scope="module")
def rated():
    """Pairs and scores of the kit."""
    data = rk.runs.load_inputs("embedded")
    return data.pairs, rk.runs.load_scores(data)


@pytest.mark.parametrize("method", METHODS)
def test_no_prompt_is_trained_and_tested_and_five_seeds_test_each_pair_once(rated, method):
    pairs, scores = rated
    groups = rk.inputs.prompt_groups(pairs).to_numpy()
    tested = []
    for seed in range(5):
        run = rk.studies.ablation_run(pairs, scores, method=method, seed=seed, n_train=300)
        assert not set(groups[run.trained]) & set(groups[run.tested])
        assert len(run.trained) == len(run.targets) == 300
        tested += run.tested.tolist()
    assert sorted(tested) == list(range(len(pairs)))


def test_labels_of_the_tested_pairs_hang_on_no_preference_of_theirs(rated):
    pairs, scores = rated
    run = rk.studies.ablation_run(pairs, scores, method="recommended", k=20, seed=2)
    turned = pairs.with_row_index().with_columns(
        preference=pl.when(pl.col("index").is_in(run.tested.tolist()))
        .then(-pl.col("preference"))
        .otherwise("preference")
    )
    again = rk.studies.ablation_run(
        turned.drop("index"), scores, method="recommended", k=20, seed=2
    )
    assert np.array_equal(run.label_margin, again.label_margin)
    assert np.array_equal(run.targets, again.targets, equal_nan=True)


@pytest.mark.parametrize(
    ("method", "k", "known", "calls"),
    [
        ("all", 5, 100, 2 * 500 * 100),
        ("max_discrepancy", 5, 0, 2 * 500 * 100),
        ("random", 5, 0, 2 * 500 * 5),
        ("static", 5, 30, 2 * (30 * 100 + 470 * 5)),
        ("recommended", 5, 30, 2 * (N_REFERENCE * 100 + (500 - N_REFERENCE) * 5)),
        ("recommended", 100, 30, 2 * 500 * 100),
        ("preferences", 5, 100, 0),
    ],
)
def test_judge_calls_are_the_ratings_that_have_to_be_made(rated, method, k, known, calls):
    run = rk.studies.ablation_run(*rated, method=method, k=k, known=known)
    assert run.judge_calls == calls


def test_hard_targets_are_certain_and_soft_ones_are_not(rated):
    hard, soft = (
        rk.studies.ablation_run(*rated, method="max_discrepancy", targets=t)
        for t in ("hard", "soft")
    )
    assert set(np.unique(hard.targets[~np.isnan(hard.targets)])) == {0.0, 1.0}
    assert ((soft.targets > 0) & (soft.targets < 1)).all()
    assert np.array_equal(hard.label_margin, soft.label_margin)


def test_outcomes_stand_by_pair_with_what_is_known(rated):
    pairs, scores = rated
    run = rk.studies.ablation_run(pairs, scores, seed=1)
    frame, figures = rk.studies.ablation_outcomes(
        pairs, run, {"label": run.label_margin, "x": None}
    )["label"]
    assert frame["pair_id"].to_list() == pairs["pair_id"].gather(run.tested).to_list()
    right = (np.sign(frame["margin"]) * frame["known"] + 1) / 2
    assert figures["value"] == pytest.approx(right.mean())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "best"}, "unknown method 'best'; allowed: all, random"),
        ({"targets": "firm"}, "unknown targets 'firm'; allowed: hard, soft"),
        ({"k": 0}, "k is 0"),
    ],
)
def test_what_is_not_allowed_is_named(rated, given, said):
    with pytest.raises(ValueError, match=said):
        rk.studies.ablation_run(*rated, **given)


def test_an_encoder_judge_is_tested_where_it_has_not_learned(rated):
    pairs, _ = rated
    kept = rk.studies.untouched(pairs, "embedded", "encoder")
    assert set(pairs["split"].filter(pl.Series(kept))) == {"test"}
    assert rk.studies.untouched(pairs, "embedded", "") is None
    assert [rk.studies.training_pairs(s) for s in ("small", "medium", "large")] == [250, 500, 1000]
    assert rk.studies.training_pairs("large", engine=True) == 5000
    with pytest.raises(ValueError, match="size is 'huge'; allowed: small"):
        rk.studies.training_pairs("huge")


def means(*rows):
    names = ("method", "k", "metric", "value", "low", "high", "pairs", "prompts")
    return pl.DataFrame(rows, schema=names, orient="row")


LABEL, REWARD = "accuracy of label", "accuracy of reward"


def test_a_claim_stands_only_where_the_interval_allows_it():
    found = means(
        ("all", 100, LABEL, 0.8, 0.77, 0.83, 500, 90),
        ("recommended", 100, LABEL, 0.88, 0.85, 0.91, 500, 90),
        ("random", 5, LABEL, 0.79, 0.76, 0.82, 500, 90),
    )
    names = ("method", "k", "metric", "value", "low", "high", "p_value")
    gains = pl.DataFrame(
        [
            ("recommended", 100, LABEL, 0.08, 0.05, 0.11, 0.0001),
            ("random", 5, LABEL, -0.01, -0.04, 0.02, 0.4),
        ],
        schema=names,
        orient="row",
    )
    said = rk.studies.choice_findings(found, gains)
    assert "highest with weighted rules (recommended), k = 100, 88.0 % [85.0, 91.0]" in said
    assert "of 2 choices 1 (weighted rules (recommended), k = 100) stands above" in said
    assert "none stands below" in said


def test_a_factor_says_what_it_changes_and_counts_the_rest():
    names = ("way", "k", "level", "base", "metric", "value", "low", "high", "p_value", "pairs")
    gains = pl.DataFrame(
        [
            ("weighted rules", 100, "0", "100", LABEL, -0.035, -0.064, -0.006, 0.001, 864),
            ("weighted rules", 100, "0", "100", REWARD, -0.017, -0.052, 0.017, 0.3, 864),
        ],
        schema=names,
        orient="row",
    )
    said = rk.studies.factor_findings("known preferences", gains)
    assert (
        "Known preferences 0 instead of 100, with weighted rules, k = 100: labels less often"
        in said
    )
    assert "−3.5 points [−6.4, −0.6] on 864 pairs" in said
    assert "the other 1 differences cannot be told from chance" in said
    assert rk.studies.factor_findings("x", gains.head(0)) == ""


def test_the_table_has_a_row_a_way_and_no_k_where_there_is_none():
    found = means(
        ("all", 100, LABEL, 0.8, 0.77, 0.83, 500, 90),
        ("all", 100, REWARD, 0.6, 0.57, 0.63, 500, 90),
        ("random", 5, LABEL, 0.6, 0.57, 0.63, 500, 90),
        ("random", 5, REWARD, 0.55, 0.5, 0.6, 500, 90),
        ("preferences", 5, REWARD, 0.65, 0.6, 0.7, 500, 90),
    )
    calls = pl.DataFrame(
        [("all", 100, 1000.0), ("random", 5, 100.0), ("preferences", 5, 0.0)],
        schema=("method", "k", "value"),
        orient="row",
    )
    table = rk.studies.ablation_table(found, calls)
    assert table.select("way", "k", "label", "reward", "judge_calls").rows() == [
        ("all rules", None, 0.8, 0.6, 1000),
        ("random rules", 5, 0.6, 0.55, 100),
        ("known preferences", None, None, 0.65, 0),
    ]
    said = rk.studies.cost_findings(table)
    assert "1,000 judge calls; the best labels for them are right on 80.0 % (all rules)" in said
    assert (
        "a quarter of the calls or fewer the best are right on 60.0 % (random rules, k = 5, 100"
        in said
    )
