"""What is known of preferences, however it is written: +1, -1, and 0 where it is not known."""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.identity import Identity
from rulekit.inputs.scores import Scores

_ALLOWED = "allowed: +1 the first response, -1 the second, 0 or null not known"
_NUMBER = int | float | np.integer | np.floating
_RARE = 0.1  # share up to which 0, or +1, beside the other alone is no sign of a 0/1 coding


def known_preference(
    preference: np.ndarray | pl.DataFrame | pl.Series | None, scores: Scores
) -> np.ndarray:
    """Preferences as float64 -1, 0 (not known) and +1, (n_pairs,); None: none is known.

    Parameters
    ----------
    preference
        +1, -1, and 0, None, NaN or null where it is not known, (n_pairs,); or the canonical frame
        of the pairs, whose column `preference` is found by id.
    scores
        Of the n_pairs pairs.

    Raises
    ------
    ValueError
        For another shape, other values, booleans among them, or a frame that lacks one of the
        pairs. 0 and +1 without any -1, neither rarer than one in ten, are refused too: that is
        how a column of 0 for the second response looks.
    """
    if preference is None:
        return np.zeros(scores.n_pairs)
    if isinstance(preference, pl.DataFrame):
        if "preference" not in preference.columns:
            raise ValueError("preference: a frame without the column 'preference'; " + _ALLOWED)
        rows = scores.identity.rows_of(Identity.of(pairs=preference), "preference")
        preference = preference["preference"] if rows is None else preference["preference"][rows]
    y = _numbers(preference)
    if y.shape != (scores.n_pairs,):
        raise ValueError(f"preference has shape {y.shape}; allowed: {(scores.n_pairs,)}")
    known = ~np.isnan(y)
    if (other := known & ~np.isin(y, (-1, 0, 1))).any():
        row = int(other.argmax())
        raise _refused(f"row {row} is {y[row]:g}")
    ones, zeros, n = (y == 1).sum(), (y == 0).sum(), known.sum()
    if ones + zeros == n and min(ones, zeros) > _RARE * n:
        raise _refused(
            f"0 and +1 alone, {zeros:,} and {ones:,} of them, look like a column coded 0/1, whose "
            "0 is the second response (where 0 does mean 'not known', write null)"
        )
    return np.where(known, y, 0.0)


def _numbers(preference) -> np.ndarray:
    """float64, NaN where nothing is known."""
    if isinstance(preference, pl.Series):
        preference = preference.to_numpy() if preference.dtype.is_numeric() else list(preference)
    elif isinstance(preference, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(preference)
        preference = np.where(masked, None, preference.data.astype(object))
    if isinstance(preference, list | tuple):
        preference = np.array(preference, dtype=object)  # else True among numbers becomes 1
    preference = np.asarray(preference)
    if preference.dtype.kind in "iuf":
        return preference.astype(np.float64)
    y = np.full(preference.shape, np.nan)
    for place, value in np.ndenumerate(preference):
        if isinstance(value, bool | np.bool_) or not isinstance(value, _NUMBER | None):
            raise _refused(f"row {place[0] if place else 0} is {value}")
        if value is not None:
            y[place] = value
    return y


def _refused(what: str) -> ValueError:
    return ValueError(
        f"preference holds other values than -1, 0 (not known) and +1: {what}; {_ALLOWED}"
    )
