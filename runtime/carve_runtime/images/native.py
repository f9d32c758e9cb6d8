"""Images that keep their aspect ratio and become packed patches (Qwen-VL).

What the encoder needs to know of the patches' layout is computed here, so that one graph serves
every grid. The order of the patches is that of ``Qwen2VLImageProcessorPil``: the patches of one
token stand next to each other, tokens in raster order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.image_rules import NativeImage
from carve_runtime.images.model_input import ModelInput, features_only, normalize
from carve_runtime.images.picture import Frame, Picture

Indices = NDArray[np.int64]

#: Fills a window that has fewer patches than it could have.
_NO_PATCH = -1


def preprocess_native(image: Picture, rule: NativeImage) -> ModelInput:
    """Follow a :class:`carve_models.image_rules.NativeImage`.

    Args:
        image: of any size.
        rule: the bundle's.
    """
    return preprocess_packed([image], rule, smart_resize)


def preprocess_packed(
    images: Sequence[Picture],
    rule: NativeImage,
    resized: Callable[[int, int, NativeImage], tuple[int, int]],
) -> ModelInput:
    """Pack frames that follow each other in time into the patches of one moment.

    Args:
        images: of one size, at most ``temporal_patch_size``; the last one stands for those that
            are missing.
        rule: the bundle's.
        resized: gives the (height, width) that they are resized to, see :func:`smart_resize`.
    """
    frame = _thickened(images[0], rule.max_aspect_ratio)
    height, width = resized(*frame.shape, rule)
    values = np.stack(
        [normalize(image.resized(frame, height, width, rule.resample), rule) for image in images]
    )
    grid = height // rule.token_size, width // rule.token_size
    feeds: dict[str, NDArray[Any]] = {
        names.PIXEL_VALUES: _pack(values, grid, rule),
        names.PATCH_POSITIONS: patch_positions(grid, rule.merge_size),
    }
    if rule.window_size is not None:
        windows, slots = window_layout(grid, rule.window_size, rule.token_patches)
        feeds |= {names.WINDOW_PATCHES: windows, names.PATCH_SLOTS: slots}
    if rule.position_side is not None:
        indices, weights = table_layout(grid, rule.merge_size, rule.position_side)
        feeds |= {names.TABLE_INDICES: indices, names.TABLE_WEIGHTS: weights}
    tokens = grid[0] * grid[1]
    return ModelInput(
        feeds=feeds,
        ids=features_only(tokens),
        map_tokens=np.arange(tokens),
        grid=grid,
        window=frame.window,
    )


def smart_resize(height: int, width: int, rule: NativeImage) -> tuple[int, int]:
    """Return the (height, width) that an image is resized to (``smart_resize``, transformers)."""
    unit = rule.token_size
    high, wide = round(height / unit) * unit, round(width / unit) * unit
    if high * wide > rule.max_pixels:
        shrink = math.sqrt(height * width / rule.max_pixels)
        high = max(unit, math.floor(height / shrink / unit) * unit)
        wide = max(unit, math.floor(width / shrink / unit) * unit)
    elif high * wide < rule.min_pixels:
        grow = math.sqrt(rule.min_pixels / (height * width))
        high = math.ceil(height * grow / unit) * unit
        wide = math.ceil(width * grow / unit) * unit
    return high, wide


def _thickened(image: Picture, ratio: float) -> Frame:
    """Put a sliver on black until its ratio is allowed.

    Users' images are never that thin (``load_image``), a refined image may be.
    """
    height, width = image.shape
    thinnest = math.ceil(max(height, width) / ratio)
    tall, broad = max(height, thinnest), max(width, thinnest)
    top, left = (tall - height) // 2, (broad - width) // 2
    return Frame((-left, -top, broad - left, tall - top))


def _pack(
    values: NDArray[np.float32], grid: tuple[int, int], rule: NativeImage
) -> NDArray[np.float32]:
    """Return (patches, channels * time * patch * patch) of (T, 3, h, w), the last one repeated."""
    (rows, columns), merge, patch = grid, rule.merge_size, rule.patch_size
    frames = len(values)
    parts = values.reshape(frames, 3, rows, merge, patch, columns, merge, patch)
    # row, column, y, x, channel, time, patch, patch
    parts = parts.transpose(2, 5, 3, 6, 1, 0, 4, 7)
    count = rows * columns * rule.token_patches
    moving = parts.reshape(count, 3, frames, patch, patch)
    at = np.minimum(np.arange(rule.temporal_patch_size), frames - 1)
    return np.asarray(moving[:, :, at].reshape(count, -1))


def patch_positions(grid: tuple[int, int], merge: int) -> Indices:
    """Return row and column of each patch, (patches, 2), in the order of the patches."""
    (rows, columns) = grid
    at = np.indices((rows * merge, columns * merge)).reshape(2, rows, merge, columns, merge)
    return np.ascontiguousarray(at.transpose(1, 3, 2, 4, 0).reshape(-1, 2), np.int64)


def window_layout(grid: tuple[int, int], side: int, patches: int) -> tuple[Indices, Indices]:
    """Return the attention windows of a grid of tokens, ``side`` tokens wide and high.

    Args:
        grid: (rows, columns) of tokens.
        side: tokens per side of a window; windows at the right and lower edge may be smaller.
        patches: patches of one token.

    Returns:
        which patches each window holds, (windows, side * side * patches), -1 where it has none;
        and where each patch stands in that array, flattened, (patches,).
    """
    rows, columns = (math.ceil(length / side) for length in grid)
    padded = np.full((rows * side, columns * side), _NO_PATCH, np.int64)
    padded[: grid[0], : grid[1]] = np.arange(grid[0] * grid[1]).reshape(grid)
    tokens = padded.reshape(rows, side, columns, side).transpose(0, 2, 1, 3)
    tokens = tokens.reshape(rows * columns, side * side, 1)
    windows = np.where(tokens < 0, _NO_PATCH, tokens * patches + np.arange(patches))
    windows = windows.reshape(rows * columns, -1)
    slots = np.empty(grid[0] * grid[1] * patches, np.int64)
    used = np.flatnonzero(windows.ravel() >= 0)
    slots[windows.ravel()[used]] = used
    return windows, slots


def table_layout(
    grid: tuple[int, int], merge: int, side: int
) -> tuple[Indices, NDArray[np.float32]]:
    """Return how a square table of positions is interpolated to the patches, bilinearly.

    The corners of table and grid coincide (``align_corners``).

    Returns:
        flat indices into the table, (patches, 4), and their weights, float32.
    """
    at = patch_positions(grid, merge)
    low, high, share = [], [], []
    for axis, length in enumerate(grid):
        last = max(length * merge - 1, 1)
        exact = at[:, axis].astype(np.float32) * np.float32(side - 1) / np.float32(last)
        floor = np.floor(exact).astype(np.int64)
        low.append(floor)
        high.append(np.minimum(floor + 1, side - 1))
        share.append(exact - floor.astype(np.float32))
    (y0, x0), (y1, x1), (y, x) = low, high, share
    indices = [y0 * side + x0, y0 * side + x1, y1 * side + x0, y1 * side + x1]
    weights = [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]
    return np.stack(indices, axis=1), np.stack(weights, axis=1).astype(np.float32)
