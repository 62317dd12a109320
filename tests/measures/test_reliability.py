"""Agreement of readers: published examples, another implementation, what is refused."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from rulekit.measures import (
    alpha_resampled,
    cohen_kappa,
    krippendorff_alpha,
    weighted_kappa,
    weighted_kappa_resampled,
)

_ = np.nan
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T
# The example of Wikipedia's article, three coders.
ENCYCLOPEDIA = np.array(
    [
        [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
        [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
        [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
    ]
).T


@pytest.mark.parametrize(
    ("grades", "level", "value"),
    [
        (PUBLISHED, "nominal", 0.743),
        (PUBLISHED, "ordinal", 0.815),
        (PUBLISHED, "interval", 0.849),
        (ENCYCLOPEDIA, "nominal", 0.691),
        (ENCYCLOPEDIA, "interval", 0.811),
        (ENCYCLOPEDIA, "ordinal", 0.807),
    ],
)
def test_alpha_of_published_examples(grades, level, value):
    assert krippendorff_alpha(grades, level) == pytest.approx(value, abs=0.0006)


def test_weighted_kappa_is_that_of_another_implementation():
    rng = np.random.default_rng(0)
    first = rng.integers(-2, 3, 300)
    second = np.clip(first + rng.integers(-1, 2, 300), -2, 2)
    wanted = cohen_kappa_score(first, second, weights="quadratic")
    assert weighted_kappa(first, second) == pytest.approx(wanted)
    # of two grades it is the plain κ
    assert weighted_kappa(first > 0, second > 0) == pytest.approx(
        cohen_kappa(first > 0, second > 0)
    )


def test_agreement_is_one_where_all_agree_and_about_zero_by_chance():
    grades = np.tile([-2.0, -1, 1, 2], 250)
    assert weighted_kappa(grades, grades) == 1
    assert krippendorff_alpha(np.stack([grades, grades], axis=1)) == 1
    other = np.random.default_rng(1).permutation(grades)
    assert abs(weighted_kappa(grades, other)) < 0.1
    assert abs(krippendorff_alpha(np.stack([grades, other], axis=1))) < 0.1


def test_one_grade_throughout_says_nothing_of_agreement():
    assert np.isnan(weighted_kappa([1, 1], [1, 1]))
    assert np.isnan(krippendorff_alpha([[1, 1], [1, 1]]))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_weights_count_units_so_often(level):
    times = np.array([2, 0, 1, 3, 1, 1, 0, 2, 1, 1, 1, 1])
    repeated = np.repeat(PUBLISHED, times, axis=0)
    found = alpha_resampled(PUBLISHED, level)(times[None].astype(float))[0]
    assert found == pytest.approx(krippendorff_alpha(repeated, level))
    x, y = np.array([1, 2, 2, 4]), np.array([1, 2, 3, 3])
    times = np.array([3, 0, 1, 2])
    kappa = weighted_kappa_resampled(x, y)(times[None].astype(float))[0]
    assert kappa == pytest.approx(weighted_kappa(np.repeat(x, times), np.repeat(y, times)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="unknown level 'ratio'; allowed: nominal"):
        krippendorff_alpha(PUBLISHED, "ratio")
    with pytest.raises(ValueError, match="no unit has two grades"):
        krippendorff_alpha([[1, _], [_, 2]])
    with pytest.raises(ValueError, match="allowed: finite"):
        krippendorff_alpha([1, 2])
    with pytest.raises(ValueError, match="2 and 1 grades"):
        weighted_kappa([1, 2], [1])
    with pytest.raises(ValueError, match="first, row 1"):
        weighted_kappa([1, _], [1, 1])
