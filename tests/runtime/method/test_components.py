"""Numbers of regions, against scipy's labels."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from scipy import ndimage

from carve_runtime.method.components import label_regions

Mask = NDArray[np.bool_]


def comb(height: int, width: int) -> Mask:
    """Return teeth that only the last row joins."""
    mask = np.zeros((height, width), np.bool_)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


def serpent(height: int, width: int) -> Mask:
    """Return one line, a pixel wide, that runs to and fro."""
    mask = np.ones((height, width), np.bool_)
    mask[1::4, :-1] = mask[3::4, 1:] = False
    return mask


RNG = np.random.default_rng(0)
MASKS: dict[str, Mask] = {
    "nothing": np.zeros((7, 9), np.bool_),
    "everything": np.ones((7, 9), np.bool_),
    "one row": np.array([[True, False, True]]),
    "one column": np.array([[True], [False], [True]]),
    "rows do not go on in the next": np.array([[False, False, True], [True, False, False]]),
    "corners": np.indices((50, 61)).sum(axis=0) % 2 == 0,
    "comb": comb(300, 401),
    "comb upside down": comb(300, 401)[::-1],
    "serpent": serpent(99, 70),
    "upright serpent": serpent(99, 70).T,
    "percolation": RNG.random((300, 400)) < 0.593,
    "sparse": RNG.random((300, 400)) < 0.2,
}


def check(mask: Mask) -> None:
    expected, count = ndimage.label(mask)
    labels, found = label_regions(mask)
    assert found == count
    np.testing.assert_array_equal(labels, expected[mask])


@pytest.mark.parametrize("name", MASKS)
def test_shapes(name: str) -> None:
    check(MASKS[name])


@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24)))
@settings(max_examples=300, deadline=None)
def test_any_mask(mask: Mask) -> None:
    check(mask)
