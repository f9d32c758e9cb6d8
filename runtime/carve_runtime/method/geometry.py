"""The arrays and boxes that every step of the method speaks of."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from carve_models.errors import SettingsError

#: An image, (H, W, 3) uint8.
RGB: TypeAlias = NDArray[np.uint8]

#: (x0, y0, x1, y1) in pixels, half-open.
Box: TypeAlias = tuple[int, int, int, int]

#: (x0, y0, x1, y1) in pixels of the input image; fractions, and positions outside, are possible.
Window: TypeAlias = tuple[float, float, float, float]


#: Kinds of numpy's types that are real numbers.
_REAL = "biuf"


def real_array(name: str, values: ArrayLike | None, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Return what a caller gave as an array of real numbers.

    Args:
        name: what it is, for the message.
        values: an array, or nested sequences.
        dtype: of the result; as it is given if ``None``.

    Raises:
        SettingsError: it is ragged, or of something else than real numbers.
    """
    try:
        array = np.asarray(values)
        kind = array.dtype.kind
        result = array.astype(dtype, copy=False) if kind in _REAL else None
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingsError(
            f"{name} is not an array ({error})", "give an array of numbers"
        ) from None
    if result is None:
        raise SettingsError(f"{name} is an array of {array.dtype}", "give an array of numbers")
    return result


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the tight half-open box of a mask, or of everything if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
