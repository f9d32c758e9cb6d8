"""Does a map point at an object: its strongest token against the token on the object's centre."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Tokens are near if rows and columns differ by no more than this (Chebyshev distance).
NEAR = 1


def strongest(maps: NDArray[Any], grid: tuple[int, int]) -> NDArray[np.int64]:
    """Return row and column of the largest token of (..., tokens) maps, (..., 2)."""
    return np.stack(np.unravel_index(maps.argmax(axis=-1), grid), axis=-1)


def hits(points: ArrayLike, targets: ArrayLike, reach: int = NEAR) -> NDArray[np.bool_]:
    """Return which points lie within ``reach`` of their targets; (..., 2) each, broadcast."""
    distance = np.abs(np.asarray(points) - np.asarray(targets)).max(axis=-1)
    return np.asarray(distance <= reach)


def chance(targets: ArrayLike, grid: tuple[int, int], reach: int = NEAR) -> NDArray[np.float64]:
    """Return for each target, (..., 2), the share of all tokens that would hit it."""
    every = np.indices(grid).reshape(2, -1).T
    return np.asarray(hits(every, np.asarray(targets)[..., None, :], reach).mean(axis=-1))
