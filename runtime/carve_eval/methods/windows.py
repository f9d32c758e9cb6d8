"""Choose a crop from a map of tokens as ViCrop does (arXiv 2502.17422, section 5).

Written after ``bbox_from_att_image_adaptive`` of saccharomycetes/mllms_know: squares of several
sizes slide over the map; of each size the one with the largest sum is taken, and of these the one
that stands out most from its neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from carve_runtime.method.geometry import Box, Window

#: Sides of the squares, as multiples of the model's input.
RATIOS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
#: Moves by one token.
_STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def sharpest_square(
    values: NDArray[np.float64], *, window: Window, image_size: tuple[int, int], side: float
) -> Box:
    """Return the square of the image that stands out, or the whole image if the least covers it.

    Args:
        values: (rows, columns), one for each token.
        window: the part of the image that the tokens cover, (x0, y0, x1, y1).
        image_size: (W, H) in pixels.
        side: of the model's input, in pixels; squares have it in pixels of the image.
    """
    rows, columns = values.shape
    width, height = _token_size(window, values.shape)
    best, box = -np.inf, (0, 0, *image_size)
    for reach in (side * ratio for ratio in RATIOS):
        # A token that is wider than the square counts as one; the original divides by zero.
        across = min(max(int(reach / width), 1), columns)
        down = min(max(int(reach / height), 1), rows)
        if (down, across) == (rows, columns):
            break
        sums = sliding_window_view(values, (down, across)).sum((-2, -1), dtype=np.float64)
        row, column = map(int, np.unravel_index(sums.argmax(), sums.shape))
        standing_out = (sums[row, column] - _beside(sums, row, column)) / (down * across)
        if standing_out > best:
            best = standing_out
            x = window[0] + (column + across / 2) * width
            y = window[1] + (row + down / 2) * height
            box = _square(x, y, reach, image_size)
    return box


def strongest_token(values: NDArray[np.float64], window: Window) -> tuple[float, float]:
    """Return the centre (x, y) of the largest of (rows, columns) tokens, in pixels."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    width, height = _token_size(window, values.shape)
    return window[0] + (float(column) + 0.5) * width, window[1] + (float(row) + 0.5) * height


def _token_size(window: Window, grid: tuple[int, ...]) -> tuple[float, float]:
    """Return (width, height) of a token in pixels of the image."""
    x0, y0, x1, y1 = window
    return (x1 - x0) / grid[1], (y1 - y0) / grid[0]


def _beside(sums: NDArray[np.float64], row: int, column: int) -> float:
    """Return the mean of the sums one token further."""
    places = [(row + down, column + across) for down, across in _STEPS]
    rows, columns = sums.shape
    return float(np.mean([sums[y, x] for y, x in places if 0 <= y < rows and 0 <= x < columns]))


def _square(x: float, y: float, side: float, image_size: tuple[int, int]) -> Box:
    """Return a square around a point, moved into the image, and cut where it is larger."""
    (left, right), (top, bottom) = (
        _interval(centre, side, length) for centre, length in zip((x, y), image_size, strict=True)
    )
    return left, top, right, bottom


def _interval(centre: float, length: float, most: int) -> tuple[int, int]:
    start = int(min(max(centre - length / 2, 0), max(most - length, 0)))
    return start, min(start + max(int(length), 1), most)
