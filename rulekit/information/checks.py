"""Variables to estimate information from, checked by name: values, categories, votes, weights.

Whatever the user gave comes in; arrays that the estimators take go out, or an error that names
the variable, the row and what is allowed. `rulekit.information` and its neighbours call it.
"""

from __future__ import annotations

from math import isqrt
from numbers import Integral

import numpy as np

from rulekit.kernels import votes as kernel

UNITS = {"bits": np.log(2.0), "nats": 1.0}
FEW = 5  # numbers of as few distinct values are categories, however few the rows


def unit_size(unit: str) -> float:
    """Nats in one unit."""
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; allowed: {', '.join(UNITS)}")
    return UNITS[unit]


def check_count(name: str, k, most: int | None = None, of: str = "rules") -> int:
    """A whole number from 1 on, to `most`, the number `of` what there is to take."""
    if isinstance(k, bool | np.bool_) or not isinstance(k, Integral) or k < 1:
        allowed = (
            "1 or more, a whole number" if most is None else f"1 to {most}, the number of {of}"
        )
        raise ValueError(f"{name} is {k!r}; allowed: {allowed}")
    if most is not None and k > most:
        raise ValueError(f"{name} is {k!r}; allowed: 1 to {most}, the number of {of}")
    return int(k)


def checked(name: str, values, n: int | None = None) -> np.ndarray:
    """The values as an array (n,); what is missing, another shape and another length are refused."""
    missing = first_missing(values)
    values = np.asarray(values)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} has shape {values.shape}; allowed: (n,), not empty")
    if missing is not None:
        (row,), what = missing
        raise ValueError(f"{name}, row {row} is {what}; allowed: values ('not rated' is none)")
    if n is not None and len(values) != n:
        raise ValueError(f"{name} has {len(values)} values; allowed: {n}, as many as the first")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        raise ValueError(f"{name}, row {row} is infinite; allowed: finite values")
    return values


def first_missing(values) -> tuple[tuple[int, ...], str] | None:
    """Position and name of the first value that is none: NaN, None, NaT or masked."""
    mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    values = np.asarray(values)
    names = {"f": "NaN", "M": "NaT", "m": "NaT"}
    if mask is not None and mask.any():
        return tuple(np.argwhere(mask)[0].tolist()), "masked"
    if values.dtype.kind in names:
        bad = np.isnat(values) if values.dtype.kind in "Mm" else np.isnan(values)
    elif values.dtype == object:
        bad = np.array([v is None or v != v for v in values.ravel()], bool).reshape(values.shape)
    else:
        return None
    if not bad.any():
        return None
    place = tuple(np.argwhere(bad)[0].tolist())
    return place, names.get(values.dtype.kind, str(values[place]))


def _may_hide(values) -> bool:
    """Whether arithmetic on the bare array would not see that a value is missing, or would fail."""
    return np.ma.isMaskedArray(values) or np.asarray(values).dtype == object


def is_whole(values: np.ndarray) -> bool:
    """Whether these can be categories: anything but floats, or floats without a fraction."""
    return values.dtype.kind != "f" or bool((values == np.rint(values)).all())


def is_discrete(values: np.ndarray) -> bool:
    """Whether these are taken for categories.

    What is no number is. Numbers are where they have no fraction and repeat: at most √n distinct
    values among n, or at most `FEW`. A table of two such variables has no more cells than there
    are observations, and its first-order bias, (K_x - 1)(K_y - 1) / 2n, is below half a nat. A
    constant, with a fraction or without, is one category.
    """
    if (values == values[0]).all():
        return True
    if values.dtype.kind not in "iuf" or ((values == 0) | (values == 1) | (values == -1)).all():
        return True
    return is_whole(values) and len(np.unique(values)) <= max(FEW, isqrt(len(values)))


def codes(values: np.ndarray) -> np.ndarray:
    """0, 1, … in the order of the distinct values, int64 (n,)."""
    return np.unique(values, return_inverse=True)[1]


def checked_weights(weights, n: int) -> np.ndarray | None:
    if weights is None:
        return None
    weights = checked("weights", weights, n).astype(np.float64)
    if weights.min() < 0 or weights.sum() == 0:
        raise ValueError("weights: allowed: non-negative, not all zero")
    return weights


def vote_planes(name: str, votes) -> tuple[np.ndarray, int]:
    """Bit planes of checked votes, (2, n_rules, n_words), and the number of pairs."""
    missing = first_missing(votes) if _may_hide(votes) else None  # NaN is found while packing
    votes = np.asarray(votes)
    if votes.ndim != 2 or 0 in votes.shape:
        raise ValueError(f"{name} have shape {votes.shape}; allowed: (n_pairs, n_rules), not empty")
    if missing is not None:
        (row, rule), what = missing
        raise ValueError(f"{name}, row {row}, rule {rule} is {what}; allowed: -1, 0 and +1")
    if votes.dtype not in (np.int8, np.int64, np.float32, np.float64):
        votes = votes.astype(np.float64 if votes.dtype.kind == "f" else np.int64)
    votes = np.ascontiguousarray(votes)
    planes, bad = kernel.pack(votes)
    if bad:
        row, rule = np.argwhere(~np.isin(votes, (-1, 0, 1)))[0]
        raise ValueError(
            f"{name}, row {row}, rule {rule} is {votes[row, rule]}: {name} hold other values "
            "than -1, 0 and +1"
        )
    return planes, len(votes)


def preference_planes(preference, n: int) -> np.ndarray:
    """Bit planes of a checked preference, (2, 1, n_words)."""
    missing = first_missing(preference) if _may_hide(preference) else None
    preference = np.asarray(preference)
    if preference.shape != (n,):
        raise ValueError(f"preference has shape {preference.shape}; allowed: ({n},)")
    if missing is not None:
        (row,), what = missing
        raise ValueError(f"preference, row {row} is {what}; allowed: -1, 0 and +1")
    if not ((preference == 0) | (preference == 1) | (preference == -1)).all():
        row = int(np.argmin(np.isin(preference, (-1, 0, 1))))
        raise ValueError(
            f"preference, row {row} is {preference[row]}: preference holds other values "
            "than -1, 0 and +1"
        )
    return kernel.pack_one(preference)
