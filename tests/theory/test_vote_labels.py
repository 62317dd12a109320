"""What labels of votes tell: bounds, and where the sum is the best decision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulekit import theory
from tests.theory.drawn import accuracies, priors, quick


@quick
@given(accuracies, priors, st.integers(0, 10**6))
def test_no_label_tells_more_than_its_votes_nor_hits_more_than_the_optimal(p, prior, seed):
    weights = np.random.default_rng(seed).random(len(p))
    best = theory.label_accuracy(p, "optimal", prior)
    assert best >= max(prior, 1 - prior) - 1e-9
    for label in ("majority", "optimal", weights):
        quality = theory.label_quality(p, label, prior)
        assert quality.information <= theory.vote_information(p, prior) + 1e-12
        assert quality.accuracy <= best + 1e-9


def test_with_bradley_terry_accuracies_the_sum_label_is_the_bayes_decision():
    delta = np.random.default_rng(4).uniform(0, 2, 9)
    p = 1 / (1 + np.exp(-1.7 * delta))
    found, best = (theory.label_quality(p, w) for w in (delta, "optimal"))
    assert found.accuracy == pytest.approx(best.accuracy, abs=1e-13)
    assert found.channel == pytest.approx(best.channel, abs=1e-13)
