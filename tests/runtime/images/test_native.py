"""Packed patches are Hugging Face's at every size, and so is the layout that goes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from carve_models import names
from carve_models.image_rules import NativeImage
from carve_runtime import load_image
from carve_runtime.images.native import patch_positions, table_layout, window_layout
from carve_runtime.images.preprocess import preprocess
from tests.comparing import assert_close
from tests.photo_variants import MAKERS, make_variant

Array = NDArray[Any]
RULES = {
    "Qwen2.5-VL": (14, 2, 56 * 56, 256 * 28 * 28),
    "Qwen3-VL": (16, 2, 256 * 16 * 16, 64 * 32 * 32),
    "no merging": (7, 1, 1, 40 * 7 * 7),
    "odd": (5, 3, 15 * 15, 9 * 15 * 15),
}
GRIDS = st.tuples(st.integers(1, 13), st.integers(1, 13))


def processor_and_rule(name: str) -> tuple[Any, NativeImage]:
    """Return Hugging Face's processor and ours."""
    patch, merge, fewest, most = RULES[name]
    processor = Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=merge, min_pixels=fewest, max_pixels=most
    )
    return processor, NativeImage(
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        min_pixels=fewest,
        max_pixels=most,
        patch_size=patch,
        merge_size=merge,
        temporal_patch_size=2,
    )


def assert_same(pixels: Array, name: str) -> None:
    processor, rule = processor_and_rule(name)
    expected = processor(Image.fromarray(pixels), return_tensors="np")
    model_input = preprocess(pixels, rule)
    assert_close(model_input.feeds[names.PIXEL_VALUES], expected["pixel_values"], atol=1e-5)
    rows, columns = model_input.grid
    merge = rule.merge_size
    assert expected["image_grid_thw"].tolist() == [[1, rows * merge, columns * merge]]
    assert len(model_input.ids) == len(model_input.map_tokens) == rows * columns
    assert model_input.window == (0, 0, pixels.shape[1], pixels.shape[0])


@pytest.mark.parametrize("variant", MAKERS)
def test_pixel_values_of_every_photograph(variant: str, tmp_path: Path) -> None:
    assert_same(load_image(make_variant(variant, tmp_path).path), "Qwen2.5-VL")


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 500), width=st.integers(1, 500))
def test_pixel_values_at_any_size(name: str, height: int, width: int) -> None:
    if max(height, width) > 200 * min(height, width):
        height = width
    generator = np.random.default_rng(height * 1000 + width)
    assert_same(generator.integers(0, 256, (height, width, 3), np.uint8), name)


@settings(max_examples=60, deadline=None)
@given(grid=GRIDS, merge=st.integers(1, 3), side=st.integers(2, 9))
def test_the_layout_is_that_of_transformers(grid: tuple[int, int], merge: int, side: int) -> None:
    thw = torch.tensor([[1, grid[0] * merge, grid[1] * merge]])
    positions = get_vision_position_ids(thw, merge)
    np.testing.assert_array_equal(patch_positions(grid, merge), positions)
    indices, weights = table_layout(grid, merge, side)
    expected = get_vision_interpolation_indices_and_weights(
        thw, side, "bilinear", align_corners=True, spatial_merge_size=merge
    )
    np.testing.assert_array_equal(indices, expected[0])
    assert_close(weights, expected[1], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(grid=GRIDS, side=st.integers(1, 5), merge=st.integers(1, 2))
def test_windows_are_those_of_transformers(grid: tuple[int, int], side: int, merge: int) -> None:
    windows, slots = window_layout(grid, side, merge**2)
    thw = torch.tensor([[1, grid[0] * merge, grid[1] * merge]])
    index, ends = get_vision_window_index(thw, merge, side * merge * 7, 7)
    held = [row[row >= 0] for row in windows]
    tokens = np.concatenate(held).reshape(-1, merge**2) // merge**2
    np.testing.assert_array_equal(tokens[:, 0], index)
    np.testing.assert_array_equal(np.cumsum([len(row) for row in held]), ends[1:])
    np.testing.assert_array_equal(windows.ravel()[slots], np.arange(len(slots)))


@pytest.mark.parametrize("size", [(1, 3000), (2500, 2)])
def test_a_sliver_is_put_on_black(size: tuple[int, int]) -> None:
    """A refined image may be thinner than users' images may."""
    _, rule = processor_and_rule("Qwen2.5-VL")
    height, width = size
    model_input = preprocess(np.full((height, width, 3), 255, np.uint8), rule)
    x0, y0, x1, y1 = model_input.window
    assert max(y1 - y0, x1 - x0) / min(y1 - y0, x1 - x0) <= rule.max_aspect_ratio
    assert x0 <= 0 <= width <= x1
    assert y0 <= 0 <= height <= y1
    brightest = model_input.feeds[names.PIXEL_VALUES].max()
    darkest = model_input.feeds[names.PIXEL_VALUES].min()
    assert darkest < 0 < brightest
