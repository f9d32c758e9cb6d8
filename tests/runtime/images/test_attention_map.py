"""Attention on the tokens that see a bright patch puts the mask on the patch.

Images of one size are in test_preprocess.py as well, with what crops and padding take away.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from carve_models import names
from carve_models.image_rules import ImageRule, NativeImage, TiledImage
from carve_models.interface import FEATURE
from carve_runtime import fuse_contrast, select_regions
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.preprocess import preprocess
from tests.conftest import ExportOf
from tests.support import CASES

Array = NDArray[Any]
PACKED = 2  # dimensions of packed patches; views have four
GREY = 110
SHADE = 0.02  # of the patch's brightness; a token that differs less was not touched

TILES: dict[str, Any] = {"tile": 32, "tile_grid": (4, 4)}
RULES: dict[str, ImageRule] = {
    "native": NativeImage(
        min_pixels=16 * 64, max_pixels=300 * 64, patch_size=4, merge_size=2, temporal_patch_size=2
    ),
    "longest edge": TiledImage(split="longest_edge", longest_edge=128, resample="lanczos", **TILES),
    "closest aspect": TiledImage(split="closest_aspect", max_tiles=9, **TILES),
    "one view": TiledImage(split="none", longest_edge=90, **TILES),
}


def per_token(model_input: ModelInput, change: Array) -> Array:
    """Return the largest change of each token of the map, (rows, columns)."""
    is_token = model_input.ids == FEATURE
    if change.ndim == PACKED:
        tokens = change.reshape(is_token.sum(), -1).max(axis=1)
    else:  # square views, each a square of tokens
        along = math.isqrt(is_token.sum() // len(change))
        side = change.shape[-1] // along
        cells = change.max(axis=1).reshape(len(change), along, side, along, side)
        tokens = cells.max(axis=(2, 4)).ravel()
    number = np.cumsum(is_token) - 1  # of each id, among the encoder's tokens
    return np.asarray(tokens[number[model_input.map_tokens]].reshape(model_input.grid))


def mask_of(tokens: Array, model_input: ModelInput, shape: tuple[int, int]) -> Array:
    """Return the mask of hand-made attention on some tokens."""
    question = np.where(tokens.ravel(), 1.0, 0.01).astype(np.float32)[None, None]
    saliency = fuse_contrast(
        question,
        np.ones_like(question),
        grid=model_input.grid,
        image_size=shape[::-1],
        layers=[0],
        window=model_input.window,
    )
    # Where four tokens meet, a touched one still contributes a quarter.
    return select_regions(saliency, mask_top_p=(saliency > 0.2).mean())


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(60, 420), st.integers(60, 420)),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    share=st.floats(0.08, 0.3),
)
def test_the_mask_covers_the_patch(
    name: str, size: tuple[int, int], at: tuple[float, float], share: float
) -> None:
    assert_covered(RULES[name], size, at, share)


# Height and width; the patch lies where a centre crop keeps it.
SIZES = [(96, 96), (60, 240), (240, 60), (121, 183), (400, 150)]
ONE_EACH = {case.family: case.name for case in CASES.values()}


@pytest.mark.parametrize("family", ONE_EACH)
def test_the_mask_covers_the_patch_in_bundles(family: str, export_of: ExportOf) -> None:
    rule = export_of(ONE_EACH[family], "ort").manifest.image
    for size in SIZES:
        for place in (0.4, 0.5, 0.6):
            assert_covered(rule, size, (place, place), 0.3)


def assert_covered(
    rule: ImageRule, size: tuple[int, int], at: tuple[float, float], share: float
) -> None:
    """Check the mask of a bright square, ``share`` of the short side wide, at a place in [0, 1]."""
    height, width = size
    side = max(int(min(size) * share), 3)
    top, left = int(at[0] * (height - side)), int(at[1] * (width - side))
    plain = np.full((height, width, 3), GREY, np.uint8)
    pixels = plain.copy()
    pixels[top : top + side, left : left + side] = 255
    model_input, before = preprocess(pixels, rule), preprocess(plain, rule)
    change = np.abs(model_input.feeds[names.PIXEL_VALUES] - before.feeds[names.PIXEL_VALUES])
    touched = per_token(model_input, change)
    mask = mask_of(touched > SHADE * change.max(), model_input, size)
    assert mask[top : top + side, left : left + side].all()
    near = np.zeros_like(mask)  # one token for partial cover, one for ringing, half for bilinear
    y, x = (
        int(2.5 * length / count) + 1 for length, count in zip(size, model_input.grid, strict=True)
    )
    near[max(top - y, 0) : top + side + y, max(left - x, 0) : left + side + x] = True
    assert not (mask & ~near).any()
