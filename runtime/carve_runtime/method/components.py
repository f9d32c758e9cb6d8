"""Connected regions of a mask, in numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_regions(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], int]:
    """Number the 4-connected regions of a mask in the raster order of their first pixels.

    Works on runs, the unbroken stretches of a row: maps of attention have few. Time grows with
    pixels, and with runs times the square of their logarithm at most.

    Args:
        mask: (H, W) bool.

    Returns:
        For each pixel that the mask keeps, in raster order, its region's number from 1 on, (n,)
        of an integer type; and how many regions there are.
    """
    height, width = mask.shape
    stride = width + 1  # a gap after each row: no run goes on in the next
    padded = np.zeros(1 + height * stride, np.bool_)
    padded[1:].reshape(height, stride)[:, :width] = mask
    index = np.int32 if padded.size + stride <= np.iinfo(np.int32).max else np.int64
    edges = np.flatnonzero(padded[1:] != padded[:-1]).astype(index)
    starts, ends = edges[::2].copy(), edges[1::2].copy()
    first = _join(*_touching(starts, ends, index(stride)), runs=len(starts))
    regions = np.cumsum(first == np.arange(len(starts)), dtype=index)
    count = int(regions[-1]) if len(regions) else 0
    return np.repeat(regions[first], ends - starts), count


def _touching(
    starts: NDArray[Any], ends: NDArray[Any], stride: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pairs of runs that lie above one another, as two arrays of their numbers.

    Args:
        starts: (r,) first pixels of the runs, ascending, counted over all rows.
        ends: (r,) one past their last pixels.
        stride: from a pixel to the one below.
    """
    index = starts.dtype
    first = np.searchsorted(ends, starts + stride, side="right").astype(index)
    last = np.searchsorted(starts, ends + stride).astype(index)
    below = last - first  # how many each run touches
    pairs_before = np.cumsum(below, dtype=index) - below
    upper = np.repeat(np.arange(len(starts), dtype=index), below)
    lower = np.arange(len(upper), dtype=index) + np.repeat(first - pairs_before, below)
    return upper, lower


def _join(a: NDArray[Any], b: NDArray[Any], *, runs: int) -> NDArray[Any]:
    """Return, for each run, the first run that it is connected with, itself if there is none.

    A first run that touches earlier ones is hung below the earliest of them. One that this leaves
    either had another hung below it or touches an earlier one next time: two rounds halve them.
    """
    first = np.arange(runs, dtype=a.dtype)
    while len(a):
        low, high = np.minimum(a, b), np.maximum(a, b)
        np.minimum.at(first, high, low)
        while not np.array_equal(first, above := first[first]):
            first = above
        a, b = first[low], first[high]
        apart = a != b
        a, b = a[apart], b[apart]
    return first
