"""Selectors compared in simulation and on rated data: aims, labels known first, bad input."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.labels import label_methods
from rulekit.studies import comparison
from tests.selection.drawn import planted, random_model, random_scores


def test_the_default_selector_keeps_to_its_aims_with_a_hundred_labels_or_none():
    """The next test on less: 1,000 pairs to estimate from, and fewer numbers of labels."""
    frame = comparison.compare_simulated(
        labelled=(0, 100),
        ks=(5,),
        methods=("adaptive", "all", "max_discrepancy", "random"),
        n_reference=1000,
        n_test=2000,
        seeds=(0, 1),
    )
    gaps = comparison.adaptive_gaps(frame)
    assert gaps.height == 10
    assert (gaps["over_plain"] - gaps["over_plain_se"]).min() > -0.01
    hard = gaps.filter(
        (pl.col("labelled") == 100)
        & pl.col("regime").is_in(["sparse", "unequal_noise", "reversed"])
    )
    assert hard["over_known"].min() > -0.03


@pytest.mark.slow
@pytest.mark.parametrize("n_reference", [1000, 5000])
def test_the_default_selector_keeps_to_its_aims_in_every_regime(n_reference):
    """Never 0.01 below {all, max_discrepancy, random}; within 0.03 of known log-odds at 100 labels."""
    methods = ("adaptive", "all", "max_discrepancy", "random")
    frame = comparison.compare_simulated(
        labelled=(0, 30, 100, 1000),
        ks=(5,),
        methods=methods,
        n_reference=n_reference,
        n_test=5000,
        seeds=(0, 1),
    )
    gaps = comparison.adaptive_gaps(frame)
    assert gaps.height == 20
    assert (gaps["over_plain"] - gaps["over_plain_se"]).min() > -0.01
    hard = gaps.filter(
        (pl.col("labelled") == 100)
        & pl.col("regime").is_in(["sparse", "unequal_noise", "reversed"])
    )
    assert hard["over_known"].min() > -0.03


def test_the_comparison_runs_every_selector_and_omits_what_labels_must_decide():
    frame = comparison.compare_simulated(
        ["equal"], (0, 30), (3,), n_rules=20, n_reference=200, n_test=100
    )
    seen = {n: set(frame.filter(labelled=n)["selector"]) for n in (0, 30)}
    assert seen[30] == set(rk.selectors())
    assert seen[30] - seen[0] == {"cmim", "greedy_cmi", "jmi", "mrmr"}


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*rows skipped")
def test_real_votes_known_rules_gain_over_the_sum_of_all():
    frame = comparison.compare_rated(methods=("all", "frugal", "static"), splits=20)
    gain = {
        (n, s): g
        for n, s, g in frame.filter(label="weighted")["labelled", "selector", "gain"].rows()
    }
    aims = {0: 0.02, 30: 0.025, 100: 0.045, 900: 0.075}  # leanings under .01 are ignored
    for n, aim in aims.items():
        assert gain[n, "all"] >= aim
        assert gain[n, "frugal"] >= gain[n, "all"] - 0.02  # five rules rated instead of 21
    assert set(frame.filter(pl.col("selector") != "all")["rated"]) == {5.0}


def test_confidence_of_labels_is_measured_on_unseen_pairs():
    table, bins = comparison.label_calibration("embedded", 30, splits=2, bins=4)
    assert table["label"].to_list() == label_methods()
    assert bins.height <= 4 * len(label_methods())
    for name, mean, hit, error, n in table.rows():
        part = bins.filter(label=name)
        assert part["n"].sum() == n
        assert 0.5 <= mean <= 1
        assert 0 <= hit <= 1
        assert error >= abs(mean - hit) - 1e-9


@pytest.fixture
def half_known(monkeypatch):
    """Rated pairs, every other one of known preference; and how many labels each estimate saw."""
    s, y = planted(240, np.array([0.9, 0.8, 0.7, 0.6]), 25)
    known = [int(v) if i % 2 else None for i, v in enumerate(y)]
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(240)],
            "prompt": [f"prompt {i // 2}" for i in range(240)],
            "response_a": ["a"] * 240,
            "response_b": ["b"] * 240,
            "preference": known,
        }
    )
    seen, real = [], comparison.estimate

    def watched(reference, preference):
        seen.append((reference.n_pairs, int(np.count_nonzero(preference))))
        return real(reference, preference)

    monkeypatch.setattr(comparison, "load", lambda name: pairs)
    monkeypatch.setattr(comparison, "load_ratings", lambda name, dead_zone: (None, s))
    monkeypatch.setattr(comparison, "estimate", watched)
    return seen


def test_as_many_labelled_pairs_are_known_as_are_asked_for(half_known):
    frame = comparison.compare_rated("planted", (0, 10, 96), k=2, methods=["all"], splits=3)
    assert half_known == [(192, 0), (192, 10), (192, 96)] * 3
    assert set(frame["labelled"]) == {0, 10, 96}
    half_known.clear()
    comparison.label_calibration("planted", 96, splits=2)
    assert half_known == [(192, 96)] * 2
    with pytest.raises(ValueError, match=r"allowed: 0 to 96, the labelled training pairs"):
        comparison.compare_rated("planted", (97,), k=2, methods=["all"], splits=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, e: comparison.compare_simulated(["x"]), "regimes: x unknown; allowed: equal"),
        (
            lambda s, e: comparison.compare_simulated(methods=["best"]),
            "methods: best unknown; allowed: adaptive",
        ),
        (
            lambda s, e: comparison.compare_simulated(labelled=(50,), n_reference=20),
            "labelled is [50]",
        ),
        (lambda s, e: comparison.compare_rated("embedded", splits=0), "splits is 0"),
        (lambda s, e: comparison.compare_rated("embedded", dead_zone=-3), "dead_zone is -3"),
        (
            lambda s, e: comparison.compare_rated("embedded", (10**6,), splits=1),
            "labelled is [1000000]",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(random_scores(3, 4, 0), random_model(4, 1))
    assert message in str(error.value)
