"""A map that is resized strip by strip is the map that Pillow resizes at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from carve_runtime.method.placement import place

#: Above and below the size from which maps are resized in strips.
sides = st.integers(1, 700)


@settings(max_examples=200, deadline=None)
@given(grid=st.tuples(st.integers(1, 40), st.integers(1, 900)), width=sides, height=sides)
def test_over_the_whole_image(grid: tuple[int, int], width: int, height: int) -> None:
    fused = np.random.default_rng(0).random(grid)
    expected = Image.fromarray(fused.astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    actual = place(fused, (width, height), None)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, np.asarray(expected))


@settings(max_examples=200, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    left=st.floats(-590.5, 90.5),
    top=st.floats(-590.5, 90.5),
    side=st.floats(600, 2000),
)
def test_over_a_window(grid: tuple[int, int], left: float, top: float, side: float) -> None:
    """Of an image of 750 x 730 pixels; the outer tokens are repeated beyond the window's edges."""
    window = (left, top, left + side, top + side)
    fused = np.random.default_rng(1).random(grid)
    actual = place(fused, (750, 730), window)
    x, y = np.arange(750) + 0.5, np.arange(730) + 0.5
    across = (x >= window[0]) & (x < window[2])
    down = (y >= window[1]) & (y < window[3])
    np.testing.assert_array_equal(~np.isnan(actual), down[:, None] & across)
    per_x, per_y = grid[1] / side, grid[0] / side
    border = max(1, int(np.ceil(max(per_x, per_y))))
    padded = np.pad(fused.astype(np.float32), border, mode="edge")
    first_x, last_x = np.flatnonzero(across)[[0, -1]]
    first_y, last_y = np.flatnonzero(down)[[0, -1]]
    box = (
        (first_x - left) * per_x + border,
        (first_y - top) * per_y + border,
        (last_x + 1 - left) * per_x + border,
        (last_y + 1 - top) * per_y + border,
    )
    size = int(last_x + 1 - first_x), int(last_y + 1 - first_y)
    expected = Image.fromarray(padded).resize(size, Image.Resampling.BILINEAR, box=box)
    covered = actual[first_y : last_y + 1, first_x : last_x + 1]
    np.testing.assert_array_equal(covered, np.asarray(expected))
