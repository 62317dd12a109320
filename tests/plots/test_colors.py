"""Colours that the colour-blind can tell, by published simulations of what they see."""

from itertools import combinations

import numpy as np
import pytest

from rulekit.plots import looks
from rulekit.plots.rules import _FOR_B_TO_A

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
SEEN = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(color: str, cones: str) -> np.ndarray:
    """CIELAB of a colour as someone with these cones sees it."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    t = TO_XYZ @ np.clip(SEEN[cones] @ linear, 0, 1) / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str, cones: str) -> float:
    return float(np.linalg.norm(lab(one, cones) - lab(other, cones)))


def test_the_simulation_makes_red_and_green_alike():
    assert distance("#c53030", "#2f855a", "all cones") > 80
    assert distance("#c53030", "#2f855a", "deuteranopia") < 30


@pytest.mark.parametrize("cones", SEEN)
def test_series_can_be_told_apart(cones):
    for one, other in combinations(looks.SERIES, 2):
        assert distance(one, other, cones) > 20, (one, other)


@pytest.mark.parametrize("cones", SEEN)
def test_series_stand_out_from_white(cones):
    for color in looks.SERIES:
        assert distance(color, "#ffffff", cones) > 35, color


@pytest.mark.parametrize("cones", SEEN)
def test_for_a_and_for_b_lie_on_both_sides_of_neither(cones):
    for_b, less_b, neither, less_a, for_a = _FOR_B_TO_A
    assert distance(for_a, for_b, cones) > 60
    assert distance(less_a, less_b, cones) > 25
    assert distance(for_a, neither, cones) > distance(less_a, neither, cones) > 10
    assert distance(for_b, neither, cones) > distance(less_b, neither, cones) > 10


def test_series_differ_by_dash_and_shape_too():
    n = len(looks.SERIES)
    assert len({tuple(dash) for dash in looks.DASHES}) == n
    assert len(set(looks.SHAPES)) == n
