"""The contrast and its fusion, against the method's formulas taken literally."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from carve_runtime import SettingsError, attention_entropy, fuse_contrast
from tests.comparing import assert_close


def attention(seed: int, steps: int, layers: int, tokens: int) -> Any:
    values = np.random.default_rng(seed).exponential(size=(steps, layers, tokens))
    return (values / values.sum(axis=-1, keepdims=True)).astype(np.float32)


def by_the_book(
    q: Any, g: Any, grid: Any, size: Any, layers: Any, steps: str, regularizer: float
) -> Any:
    """Steps 3 and 4 of docs/method.md: every map resized on its own."""
    common = min(len(q), len(g))
    chosen = {"first": [0], "all": range(common), "last": [common - 1]}[steps]
    total = np.zeros(size[::-1])
    for step in chosen:
        weight = step + 1 if steps == "all" else 1
        for layer in layers:
            contrast = q[step, layer] / (g[step, layer] + np.float32(regularizer))
            picture = Image.fromarray(contrast.reshape(grid))
            total += weight * np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    return total


@given(
    seed=st.integers(0, 99),
    t_q=st.integers(1, 4),
    t_g=st.integers(1, 4),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    steps=st.sampled_from(["first", "all", "last"]),
    regularizer=st.sampled_from([1e-8, 1e-3, 0.1]),
)
@settings(max_examples=150, deadline=None)
def test_fusion_follows_the_method(
    seed: int, t_q: int, t_g: int, grid: Any, size: Any, steps: Any, regularizer: float
) -> None:
    tokens = grid[0] * grid[1]
    q, g = attention(seed, t_q, 4, tokens), attention(seed + 1000, t_g, 4, tokens)
    options: Any = {"layers": [2, 0], "steps": steps, "regularizer": regularizer}
    saliency = fuse_contrast(q, g, grid=grid, image_size=size, **options)
    wanted = by_the_book(q, g, grid, size, [2, 0], steps, regularizer)
    assert saliency.shape == (size[1], size[0])
    assert_close(saliency, wanted, rtol=1e-5)


def test_a_window_beyond_the_image_keeps_the_scale() -> None:
    """A picture padded to a square: the fused map is the middle of the padded one."""
    q, g = attention(0, 1, 1, 36), attention(1, 1, 1, 36)
    options: Any = {"grid": (6, 6), "layers": [0], "steps": "first"}
    padded = fuse_contrast(q, g, image_size=(60, 60), **options)
    window = (0.0, -10.0, 60.0, 50.0)
    image = fuse_contrast(q, g, image_size=(60, 40), window=window, **options)
    assert_close(image, padded[10:50], rtol=1e-6)


@given(
    seed=st.integers(0, 99),
    grid=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    start=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    token=st.tuples(st.floats(2, 15), st.floats(2, 15)),
)
@settings(max_examples=150, deadline=None)
def test_a_window_may_begin_inside_a_pixel(seed: int, grid: Any, start: Any, token: Any) -> None:
    """Every pixel's centre, sampled by hand with the outer tokens repeated."""
    size = (57, 43)
    window = (*start, start[0] + token[0] * grid[1], start[1] + token[1] * grid[0])
    q, g = attention(seed, 1, 1, grid[0] * grid[1]), np.ones((1, 1, grid[0] * grid[1]))
    columns = (np.arange(size[0]) + 0.5 - window[0]) / token[0] - 0.5
    rows = (np.arange(size[1]) + 0.5 - window[1]) / token[1] - 0.5
    at = np.meshgrid(rows, columns, indexing="ij")
    wanted = ndimage.map_coordinates(q.reshape(grid), at, np.float64, 1, mode="nearest")
    inside = (at[0] >= -0.5) & (at[0] < grid[0] - 0.5) & (at[1] >= -0.5) & (at[1] < grid[1] - 0.5)
    options: Any = {"grid": grid, "image_size": size, "layers": [0], "steps": "first"}
    if not inside.any():
        with pytest.raises(SettingsError, match="covers no pixel"):
            fuse_contrast(q, g, window=window, **options)
        return
    saliency = fuse_contrast(q, g, window=window, regularizer=0.0, **options)
    np.testing.assert_array_equal(np.isfinite(saliency), inside)
    assert_close(saliency[inside], wanted[inside], rtol=1e-4, atol=1e-6)


def test_the_contrast_removes_what_both_passes_see() -> None:
    noise = attention(3, 1, 1, 16)
    question = noise.copy()
    question[0, 0, 5] *= 10
    options: Any = {"grid": (4, 4), "image_size": (4, 4), "layers": [0], "steps": "first"}
    saliency = fuse_contrast(question, noise, **options)
    assert saliency.argmax() == 5
    assert_close(np.delete(saliency.ravel(), 5), 1, rtol=1e-5)


good = attention(0, 2, 3, 16)


@pytest.mark.parametrize(
    ("q", "g", "changes", "message"),
    [
        (good, good, {"layers": [3]}, r"layers \[3\] do not fit attention of 3 layers"),
        (good, good, {"layers": [-1]}, "name layers from 0 to 2|Name layers from 0 to 2"),
        (good, good, {"layers": []}, "do not fit"),
        (good, good, {"grid": (5, 5)}, "5 x 5 tokens"),
        (good[0], good, {}, "question attention has shape"),
        (good, good[:, :2], {}, "3 and 2 layers"),
        (good[:0], good, {}, "question attention has shape"),
        (good, good, {"steps": "some"}, "first, all, last"),
        (good, good, {"regularizer": -1}, "regularizer is -1"),
        (good, good, {"image_size": (0, 4)}, "image_size"),
        (good, good, {"window": (90, 0, 99, 9)}, "covers no pixel"),
        (good, np.zeros_like(good), {"regularizer": 0}, "not finite"),
        (good * np.nan, good, {}, "not finite"),
    ],
)
def test_wrong_arguments(q: Any, g: Any, changes: Any, message: str) -> None:
    options = {"grid": (4, 4), "image_size": (8, 8), "layers": [0, 1]} | changes
    with pytest.raises(SettingsError, match=message):
        fuse_contrast(q, g, **options)


def test_entropy() -> None:
    uniform = np.full((2, 10), 0.01)
    assert attention_entropy(uniform) == pytest.approx(np.log(10))
    assert attention_entropy(np.eye(1, 10)) == 0
