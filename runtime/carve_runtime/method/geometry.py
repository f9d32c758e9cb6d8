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
