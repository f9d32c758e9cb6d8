"""Packed patches as ONNX operators: the twin of ``carve_runtime.images.native``."""

from __future__ import annotations

import numpy as np

from carve_export.steps.model_input import ModelInput, features_only, normalize, sides_of
from carve_export.steps.operators import Op, Value, constant, count_up, real, single, vector, whole
from carve_export.steps.resample import resize_bytes
from carve_models.image_rules import NativeImage
from carve_models.image_rules.native import ROUNDING


def preprocess_native(op: Op, image: Value, max_pixels: Value, rule: NativeImage) -> ModelInput:
    """Follow a :class:`carve_models.image_rules.NativeImage`.

    Args:
        op: the operators.
        image: (H, W, 3) uint8.
        max_pixels: most pixels after resizing, int64 scalar; 0 for the rule's own limit.
        rule: the bundle's.
    """
    pixels, window = _thickened(op, image, rule.max_aspect_ratio)
    size = sides_of(op, pixels)
    target = _smart_resize(op, size, _limits(op, max_pixels, rule), rule.token_size)
    unit = constant(op, rule.token_size, np.int64)
    grid = op.Div(target[0], unit), op.Div(target[1], unit)
    pixels = resize_bytes(op, pixels, size, target, rule.resample)
    feeds = [_pack(op, pixels, grid, rule), _patch_positions(op, grid, rule.merge_size)]
    if rule.window_size is not None:
        feeds += _window_layout(op, grid, rule.window_size, rule.token_patches)
    if rule.position_side is not None:
        feeds += _table_layout(op, feeds[1], grid, rule.merge_size, rule.position_side)
    tokens = op.Mul(*grid)
    return ModelInput(
        feeds=tuple(feeds),
        ids=features_only(op, tokens),
        map_tokens=count_up(op, tokens),
        grid=grid,
        window=window,
    )


def _thickened(op: Op, image: Value, ratio: float) -> tuple[Value, Value]:
    """Put a sliver on black until its ratio is allowed; return the window as well."""
    height, width = sides_of(op, image)
    zero, two = constant(op, 0, np.int64), constant(op, 2, np.int64)
    thinnest = whole(op, op.Ceil(op.Div(real(op, op.Max(height, width)), ratio)))
    tall, broad = op.Max(height, thinnest), op.Max(width, thinnest)
    top, left = (op.Div(op.Sub(*sides), two) for sides in ((tall, height), (broad, width)))
    right, bottom = op.Sub(broad, left), op.Sub(tall, top)
    after = op.Sub(bottom, height), op.Sub(right, width)
    around = vector(op, top, left, zero, *after, zero)
    window = real(op, vector(op, op.Neg(left), op.Neg(top), right, bottom))
    return op.Pad(image, around, constant(op, 0, np.uint8)), window


def _limits(op: Op, max_pixels: Value, rule: NativeImage) -> tuple[Value, Value]:
    """Return the fewest and the most pixels that ``rule.within(max_pixels)`` has."""
    fewest, most, least, rounding, zero = (
        constant(op, number, np.int64)
        for number in (rule.min_pixels, rule.max_pixels, rule.least_pixels, ROUNDING, 0)
    )
    is_lower = op.And(op.Greater(max_pixels, zero), op.Less(max_pixels, most))
    lowered = op.Min(fewest, op.Max(op.Div(max_pixels, rounding), least))
    return op.Where(is_lower, lowered, fewest), op.Where(is_lower, max_pixels, most)


def _smart_resize(
    op: Op, size: tuple[Value, Value], limits: tuple[Value, Value], unit: int
) -> tuple[Value, Value]:
    """Return the height and width that an image is resized to."""
    sides, (fewest, most) = [real(op, side) for side in size], limits
    area = real(op, op.Mul(*size))
    usual = [_tokens(op, op.Round(op.Div(side, float(unit))), unit) for side in sides]
    shrink = op.Sqrt(op.Div(area, real(op, most)))
    less = [
        op.Max(_tokens(op, op.Floor(op.Div(op.Div(side, shrink), float(unit))), unit), unit)
        for side in sides
    ]
    grow = op.Sqrt(op.Div(real(op, fewest), area))
    more = [_tokens(op, op.Ceil(op.Div(op.Mul(side, grow), float(unit))), unit) for side in sides]
    pixels = op.Mul(*usual)
    is_above, is_below = op.Greater(pixels, most), op.Less(pixels, fewest)
    height, width = (
        op.Where(is_above, lower, op.Where(is_below, higher, side))
        for lower, higher, side in zip(less, more, usual, strict=True)
    )
    return height, width


def _tokens(op: Op, count: Value, unit: int) -> Value:
    return op.Mul(whole(op, count), unit)


def _pack(op: Op, pixels: Value, grid: tuple[Value, Value], rule: NativeImage) -> Value:
    """Return (patches, channels * time * patch * patch) float32 of (h, w, 3) uint8."""
    (rows, columns), merge, patch = grid, rule.merge_size, rule.patch_size
    fixed = [constant(op, [size], np.int64) for size in (merge, patch)]
    shape = op.Concat(vector(op, rows), *fixed, vector(op, columns), *fixed, [3], axis=0)
    parts = op.Transpose(op.Reshape(pixels, shape), perm=[0, 3, 1, 4, 6, 2, 5])
    still = op.Reshape(parts, [-1, 3, 1, patch, patch])
    values = normalize(op, still, rule, channel_axis=-4)
    repeated = op.Tile(values, [1, 1, rule.temporal_patch_size, 1, 1])
    return op.Reshape(repeated, [-1, 3 * rule.temporal_patch_size * patch**2])


def _patch_positions(op: Op, grid: tuple[Value, Value], merge: int) -> Value:
    """Return row and column of each patch, (patches, 2), in the order of the patches."""
    rows, columns = grid
    row = op.Reshape(count_up(op, op.Mul(rows, merge)), [-1, 1, merge, 1])
    column = op.Reshape(count_up(op, op.Mul(columns, merge)), [1, -1, 1, merge])
    return _side_by_side(op, op.Add(row, op.Mul(column, 0)), op.Add(column, op.Mul(row, 0)))


def _side_by_side(op: Op, *arrays: Value) -> Value:
    """Return arrays of one shape as the columns of a table."""
    return op.Concat(*[op.Reshape(array, [-1, 1]) for array in arrays], axis=1)


def _window_layout(
    op: Op, grid: tuple[Value, Value], side: int, patches: int
) -> tuple[Value, Value]:
    """Return the patches of each window, and where each patch stands in them."""
    rows, columns = grid
    length = constant(op, side, np.int64)
    down, across = (op.Div(op.Add(tokens, side - 1), length) for tokens in grid)
    row = op.Reshape(count_up(op, op.Mul(down, side)), [-1, 1, side, 1])
    column = op.Reshape(count_up(op, op.Mul(across, side)), [1, -1, 1, side])
    token = op.Add(op.Mul(row, columns), column)
    within = op.And(op.Less(row, rows), op.Less(column, columns))
    each = constant(op, list(range(patches)), np.int64)
    patch = op.Add(op.Mul(op.Unsqueeze(token, [4]), patches), each)
    windows = op.Where(op.Unsqueeze(within, [4]), patch, constant(op, -1, np.int64))

    row = op.Unsqueeze(count_up(op, rows), [1])
    column = count_up(op, columns)
    window = op.Add(op.Mul(op.Div(row, length), across), op.Div(column, length))
    place = op.Add(op.Mul(op.Mod(row, length), side), op.Mod(column, length))
    slot = op.Mul(op.Add(op.Mul(window, side**2), place), patches)
    slots = op.Add(op.Unsqueeze(slot, [2]), each)
    return op.Reshape(windows, [-1, side**2 * patches]), op.Reshape(slots, [-1])


def _table_layout(
    op: Op, positions: Value, grid: tuple[Value, Value], merge: int, side: int
) -> tuple[Value, Value]:
    """Return the entries of the table around each patch, and their weights."""
    low, high, share = [], [], []
    last_entry, one = constant(op, side - 1, np.int64), constant(op, 1, np.int64)
    for axis, length in enumerate(grid):
        at = single(op, op.Gather(positions, constant(op, axis, np.int64), axis=1))
        last = op.Max(op.Sub(op.Mul(length, merge), one), one)
        exact = op.Div(op.Mul(at, float(side - 1)), single(op, last))
        floor = op.Floor(exact)
        low.append(whole(op, floor))
        high.append(op.Min(op.Add(low[-1], one), last_entry))
        share.append(op.Sub(exact, floor))
    (y0, x0), (y1, x1), (y, x) = low, high, share
    far_y, far_x = (op.Sub(constant(op, 1.0, np.float32), part) for part in share)
    corners = [(y0, x0), (y0, x1), (y1, x0), (y1, x1)]
    indices = [op.Add(op.Mul(row, side), column) for row, column in corners]
    weights = [op.Mul(*pair) for pair in ((far_y, far_x), (far_y, x), (y, far_x), (y, x))]
    return _side_by_side(op, *indices), _side_by_side(op, *weights)
