"""Curves by k in a world: against the labels and the theorem that they are made of."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.studies import (
    assumptions_of,
    selectors_by_k,
    where_assumptions_break,
    world_findings,
    world_title,
)
from rulekit.theory import World, draw_world

SMALL = {"n_pairs": 800, "n_reference": 400}
KNOWN = "log_odds, known"


def at(frame: pl.DataFrame, selector: str, k: int) -> dict:
    rows = frame.filter((pl.col("selector") == selector) & (pl.col("k") == k))
    return rows.row(0, named=True)


@pytest.mark.parametrize("method", ["max_discrepancy", "random", "frugal", "adaptive", "whitened"])
def test_accuracy_at_k_is_that_of_the_labels_of_k_selected_rules(method):
    world = World(correlation=0.2, loudness=0.4, n_reversed=2)
    frame = selectors_by_k(world, 50, [method], **SMALL)
    drawn, reference = draw_world(world, 800), draw_world(world, 400, part=1)
    known = np.where(np.arange(400) < 50, reference.preference, 0)
    believed = rk.estimate(reference.scores, known)
    model = "sum" if method in ("max_discrepancy", "random") else "weighted"
    for k in (1, 4, 20):
        chosen = rk.select(
            drawn.scores,
            k,
            method,
            estimates=believed,
            reference=reference.scores,
            preference=known,
        )
        labels = rk.label(drawn.scores, chosen, model, estimates=believed)
        right = (1 + labels.preference * drawn.preference).mean() / 2
        assert at(frame, method, k)["accuracy"] == pytest.approx(right, abs=1e-12)


def test_under_the_assumptions_the_yardstick_is_the_largest_discrepancy_and_nothing_tells_more():
    frame = selectors_by_k(World(spread=0.08), 100, **SMALL)
    loud, known = (
        frame.filter(pl.col("selector") == s)["information"] for s in ("max_discrepancy", KNOWN)
    )
    assert (loud - known).abs().max() < 1e-6
    for name in ("random", "frugal"):
        other = frame.filter(pl.col("selector") == name)["information"]
        assert (other <= loud + 0.003).all()  # of the drawn votes, where all are nearly certain
    breaks = where_assumptions_break(frame, World(spread=0.08))
    assert set(breaks["selector"]) == {"adaptive"}
    assert "hold" in world_title(World(spread=0.08))
    why = assumptions_of(World(spread=0.08)).row(3, named=True)
    assert (why["holds"], why["why"]) == (
        True,
        "for every curve but adaptive, which looks at signs",
    )


def test_information_is_that_of_exact_votes():
    world = World(n_rules=6, loudness=0.5)
    frame = selectors_by_k(world, 0, ["max_discrepancy", KNOWN], n_pairs=200, n_reference=50)
    drawn = draw_world(world, 200)
    size = np.abs(drawn.scores.discrepancy)
    p = 1 / (1 + np.exp(-2 * np.abs(drawn.mu) * size / np.diag(drawn.cov)))
    order = np.argsort(-size, axis=1)
    for k in (1, 3, 6):
        exact = [rk.theory.vote_information(row[o[:k]]) for row, o in zip(p, order, strict=True)]
        row = at(frame, "max_discrepancy", k)
        assert row["how"] == "exact"
        # of the drawn votes, where `exact` is over all votes of these sizes
        assert abs(row["information"] - np.mean(exact)) < 5 * row["information_se"]


def test_the_broken_assumption_is_named_at_the_curve_that_it_breaks():
    loud = World(loudness=1.0)
    breaks = where_assumptions_break(selectors_by_k(loud, 100, **SMALL), loud)
    row = breaks.filter(
        (pl.col("selector") == "max_discrepancy") & (pl.col("measure") == "information")
    ).row(0, named=True)
    assert row["name"].startswith("A3 broken")
    assert row["lost"] > 0.01
    turned = World(n_reversed=6)
    frame = selectors_by_k(turned, 100, **SMALL)
    breaks = where_assumptions_break(frame, turned).filter(pl.col("selector") == "max_discrepancy")
    assert breaks["measure"].to_list() == ["accuracy"]  # a reversed vote is lost on the label only
    assert "6 of 20 rules are reversed" in world_title(turned)
    said = world_findings(frame, breaks, 5)
    assert "In accuracy the largest |δ| lack most" in said
    row = breaks.row(0, named=True)
    assert f': {100 * row["lost"]:.1f} points to "log_odds, known" (' in said
    assert "A3 broken" in said
    shared = World(correlation=0.5)
    frame = selectors_by_k(shared, 100, **SMALL)
    assert at(frame, "random", 3)["how"] == "at least"
    names = where_assumptions_break(frame, shared)["name"].to_list()
    assert any(name.startswith("A1 broken") for name in names)


def test_labels_matter_where_rules_share_noise_and_their_agreement_misleads():
    def right(world: World, labelled: int) -> float:
        frame = selectors_by_k(world, labelled, ["frugal"], n_pairs=1500, n_reference=600)
        return at(frame, "frugal", 20)["accuracy"]

    shared = World(correlation=0.3, spread=0.08)
    assert right(shared, 600) > right(shared, 0) + 0.02
    apart = World(n_reversed=5, loudness=0.5)
    assert abs(right(apart, 600) - right(apart, 0)) < 0.01


def test_selectors_of_labelled_votes_need_labels_and_unknown_ones_are_refused():
    frame = selectors_by_k(World(), 0, ["jmi", "random"], **SMALL)
    assert set(frame["selector"]) == {"random"}
    assert "jmi" in set(selectors_by_k(World(), 60, ["jmi", "random"], **SMALL)["selector"])
    with pytest.raises(ValueError, match="allowed"):
        selectors_by_k(World(), 0, ["relevance"], **SMALL)
    with pytest.raises(ValueError, match="labelled"):
        selectors_by_k(World(), 401, **SMALL)
