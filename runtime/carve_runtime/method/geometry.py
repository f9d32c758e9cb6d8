"""The arrays and boxes that every step of the method speaks of."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

#: An image, (H, W, 3) uint8.
RGB: TypeAlias = NDArray[np.uint8]

#: (x0, y0, x1, y1) in pixels, half-open.
Box: TypeAlias = tuple[int, int, int, int]

#: (x0, y0, x1, y1) in pixels of the input image; fractions, and positions outside, are possible.
Window: TypeAlias = tuple[float, float, float, float]


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the tight half-open box of a mask, or of everything if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, mask.shape[1], mask.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
