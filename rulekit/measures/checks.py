"""What a measure takes, checked once: values, truths, preferences and groups come in, arrays go out.

Every measure of this room calls these before it counts anything; what does not fit is refused by its
name, its row and what is allowed.
"""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-9  # as far outside its range may a value be that came out of a sum


def numbers(
    name: str, values, allowed: str = "numbers", low: float = -np.inf, high: float = np.inf
) -> np.ndarray:
    """Values as float64, of any shape; NaN, null, masked and out of range are refused."""
    found = _floats(name, values, allowed)
    inside = (found >= low - _ROUNDING) & (found <= high + _ROUNDING)
    _refuse(name, found, ~inside, allowed)
    return found.clip(low, high)


def truths(name: str, values) -> np.ndarray:
    """Values as bool, of any shape; allowed are bool, 0 and 1."""
    allowed = "bool, or 0 and 1"
    found = numbers(name, values, allowed)
    _refuse(name, found, (found != 0) & (found != 1), allowed)
    return found == 1


def categories(name: str, values) -> np.ndarray:
    """Values of any kind as they are; NaN, null and masked are refused."""
    found = np.asarray(values)
    missing = np.zeros(found.shape, bool)
    if found.dtype.kind in "fcO":
        missing = np.array([v is None or v != v for v in found.flat], bool).reshape(found.shape)
    if np.ma.isMA(values):
        missing |= np.ma.getmaskarray(values)
    _refuse(name, np.full(found.shape, "missing"), missing, "a category each")
    return found


def preferences(values) -> np.ndarray:
    """Known preferences as float64, (n,): -1, 0, +1, NaN where none is known."""
    allowed = "+1, -1, 0 or null"
    found, kind = _floats("preference", values, allowed), np.asarray(values).dtype.kind
    if kind == "b" or (kind == "O" and any(isinstance(v, bool | np.bool_) for v in values)):
        raise ValueError(f"preference holds True and False; allowed: {allowed}")
    _refuse("preference", found, ~(np.isnan(found) | np.isin(found, (-1, 0, 1))), allowed)
    return found


def groups_of(groups, n: int | None = None) -> np.ndarray:
    """The number of each row's group, from 0 in the groups' own order, (n,).

    None: every row is a group of its own. Groups are numbers, texts or tuples, none missing.
    """
    if groups is None:
        return np.arange(n)
    shape = np.shape(groups) if isinstance(groups, np.ndarray) else (len(groups),)
    if len(shape) != 1 or not shape[0] or (n is not None and shape[0] != n):
        raise ValueError(f"groups have shape {shape}; allowed: ({n or 'n'},), one a row, not none")
    if isinstance(groups, np.ndarray) and groups.dtype.kind in "iu":
        return np.unique(groups, return_inverse=True)[1]
    # Not numpy's unique: as an array, texts take the memory of the longest, each of them.
    values = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    try:
        missing = [i for i, v in enumerate(values) if v is None or v != v]
        number = {} if missing else {v: i for i, v in enumerate(sorted(set(values)))}
    except TypeError as error:
        raise ValueError(f"groups: {error}; allowed: numbers, texts or tuples") from None
    if missing:
        row = missing[0]
        raise ValueError(f"groups, row {row} is {values[row]}; allowed: what the row belongs to")
    return np.array([number[v] for v in values])


def _floats(name: str, values, allowed: str) -> np.ndarray:
    found = np.asarray(values)
    words = found.dtype.kind == "O" and any(isinstance(v, str) for v in found.ravel())
    if found.dtype.kind not in "biufO" or words:
        raise ValueError(f"{name} holds {found.dtype}; allowed: {allowed}")
    try:
        found = found.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is no array of numbers; allowed: {allowed}") from None
    return np.where(np.ma.getmaskarray(values), np.nan, found) if np.ma.isMA(values) else found


def _refuse(name: str, found: np.ndarray, bad: np.ndarray, allowed: str) -> None:
    """Raise for the first bad value, by its name and place."""
    if bad.any():
        where = np.argwhere(bad)[0]
        place = ", ".join(
            f"{a} {i}" for a, i in zip(("row", "column", "layer"), where, strict=False)
        )
        raise ValueError(f"{name}, {place} is {found[tuple(where)]}; allowed: {allowed}")
