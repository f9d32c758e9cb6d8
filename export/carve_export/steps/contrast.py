"""Contrast and fusion as ONNX operators: the twin of ``carve_runtime.method.contrast``."""

from __future__ import annotations

import numpy as np

from carve_export.steps.operators import Op, Value, constant, real, scalars, single, vector, whole
from carve_export.steps.resample import resize_floats

_SAME = 1e-6  # pixels, as in the runtime


def fuse_contrast(
    op: Op,
    question: Value,
    general: Value,
    step_weights: Value,
    layer_weights: Value,
    regularizer: Value,
) -> Value:
    """Return the contrast summed over weighted steps and layers, (N,) float32.

    Args:
        op: the operators.
        question: (T_Q, L, N) float32.
        general: (T_G, L, N) float32.
        step_weights: (T,) float64, of the first T steps of both; 0 leaves a step out.
        layer_weights: (L,) float64; 0 leaves a layer out.
        regularizer: lambda, float64 scalar.
    """
    steps = op.Shape(step_weights)
    question, general = (op.Slice(passed, [0], steps, [0]) for passed in (question, general))
    small = single(op, regularizer)
    contrast = real(op, op.Div(question, op.Add(general, small)))
    weights = op.Mul(op.Unsqueeze(step_weights, [1, 2]), op.Unsqueeze(layer_weights, [1]))
    # A step or layer that is left out may hold zeros, whose contrast is NaN.
    nothing = constant(op, 0.0, np.float64)
    used = op.Where(op.Equal(weights, 0.0), nothing, op.Mul(contrast, weights))
    return single(op, op.ReduceSum(used, [0, 1], keepdims=0))


def place(op: Op, fused: Value, grid: Value, window: Value, size: tuple[Value, Value]) -> Value:
    """Resize the grid over its window; pixels whose centre lies outside it become NaN.

    Args:
        op: the operators.
        fused: (N,) float32.
        grid: rows and columns, (2,) int64.
        window: x0, y0, x1, y1 in pixels of the image, (4,) float64.
        size: the image's height and width, int64 scalars.

    Returns:
        (height, width) float32.
    """
    height, width = size
    rows, columns = scalars(op, grid, 2)
    zero = constant(op, 0, np.int64)
    image = real(op, vector(op, zero, zero, width, height))
    is_whole = op.LessOrEqual(op.ReduceMax(op.Abs(op.Sub(window, image)), keepdims=0), _SAME)
    x0, y0, x1, y1 = scalars(op, op.Where(is_whole, image, window), 4)
    left, right = _pixels_within(op, x0, x1, width)
    top, bottom = _pixels_within(op, y0, y1, height)
    per_x = op.Div(real(op, columns), op.Sub(x1, x0))
    per_y = op.Div(real(op, rows), op.Sub(y1, y0))
    # A pixel may reach beyond the window's edge: repeat the outer tokens, as clamping would.
    border = op.Where(is_whole, zero, whole(op, op.Ceil(op.Max(op.Max(per_x, per_y), 1.0))))
    padded = op.Reshape(fused, grid)
    for axis, side in enumerate((rows, columns)):
        padded = op.Gather(padded, _clamped(op, side, border), axis=axis)
    twice = op.Add(border, border)
    padded_size = op.Add(rows, twice), op.Add(columns, twice)
    far_x, far_y = real(op, columns), real(op, rows)
    box = (
        _in_grid(op, left, x0, per_x, border),
        _in_grid(op, top, y0, per_y, border),
        op.Where(is_whole, far_x, _in_grid(op, right, x0, per_x, border)),
        op.Where(is_whole, far_y, _in_grid(op, bottom, y0, per_y, border)),
    )
    target = op.Sub(bottom, top), op.Sub(right, left)
    resized = resize_floats(op, padded, padded_size, box, target)
    around = vector(op, top, left, op.Sub(height, bottom), op.Sub(width, right))
    return op.Pad(resized, around, constant(op, float("nan"), np.float32))


def _in_grid(op: Op, pixel: Value, start: Value, per_pixel: Value, border: Value) -> Value:
    return op.Add(op.Mul(op.Sub(real(op, pixel), start), per_pixel), real(op, border))


def _clamped(op: Op, side: Value, border: Value) -> Value:
    """Return the indices of an axis with its ends repeated ``border`` times."""
    one = constant(op, 1, np.int64)
    indices = op.Range(op.Neg(border), op.Add(side, border), one)
    return op.Min(op.Max(indices, constant(op, 0, np.int64)), op.Sub(side, one))


def _pixels_within(op: Op, start: Value, stop: Value, size: Value) -> tuple[Value, Value]:
    """Return the half-open range of pixels whose centres lie in ``[start, stop)``."""
    first, end = (whole(op, op.Ceil(op.Sub(edge, 0.5))) for edge in (start, stop))
    return op.Max(first, constant(op, 0, np.int64)), op.Min(end, size)
