"""Pillow's resampling as ONNX operators (``Resample.c`` of Pillow: the definition of a resize).

Bytes are resized in the same fixed-point arithmetic, so results are equal to the byte wherever the
filter is computed in double precision. A loop over the filter's taps keeps the cost linear in the
number of pixels: dense matrices would grow with the third power of a side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from carve_export.steps.operators import Op, Value, constant, loop, real, whole
from carve_models.image_rules import Resample

_PRECISION_BITS = 32 - 8 - 2  # fixed point: 8 bits of a byte, 2 for overshoot
_BICUBIC_A = -0.5
_HAMMING = (0.54, 0.46)


@dataclass(frozen=True)
class Taps:
    """Which inputs make an output: ``sum_t weights[i, t] * input[first[i] + t]``.

    Attributes:
        first: (n,) int64.
        weights: (n, taps) float64.
        count: number of taps, int64 scalar.
        last_input: the largest index, int64 scalar; taps beyond it have weight 0.
    """

    first: Value
    weights: Value
    count: Value
    last_input: Value


def resize_bytes(
    op: Op, image: Value, size: tuple[Value, Value], target: tuple[Value, Value], name: Resample
) -> Value:
    """Resize as ``Image.resize`` does.

    Args:
        op: the operators.
        image: (H, W, 3) uint8.
        size: H and W, int64 scalars.
        target: the new height and width, int64 scalars.
        name: Pillow's filter.

    Returns:
        (height, width, 3) uint8.
    """
    (height, width), (new_height, new_width) = size, target
    nothing = constant(op, 0.0, np.float32)
    across = _taps(op, name, width, nothing, _single(op, width), new_width)
    down = _taps(op, name, height, nothing, _single(op, height), new_height)
    columns = _apply_bytes(op, op.Transpose(image, perm=[1, 0, 2]), across)
    return _apply_bytes(op, op.Transpose(columns, perm=[1, 0, 2]), down)


def resize_floats(
    op: Op,
    array: Value,
    size: tuple[Value, Value],
    box: tuple[Value, Value, Value, Value],
    target: tuple[Value, Value],
) -> Value:
    """Resize a part of a float array, bilinearly, as ``Image.resize(box=...)`` does in mode F.

    Args:
        op: the operators.
        array: (rows, columns) float32.
        size: rows and columns, int64 scalars.
        box: left, top, right, bottom in the array, float64 scalars.
        target: the new height and width, int64 scalars.

    Returns:
        (height, width) float32.
    """
    (rows, columns), (height, width) = size, target
    left, top, right, bottom = (_single(op, edge) for edge in box)
    across = _taps(op, "bilinear", columns, left, right, width)
    down = _taps(op, "bilinear", rows, top, bottom, height)
    planes = op.Unsqueeze(array, [2])
    wide = _apply_floats(op, op.Transpose(planes, perm=[1, 0, 2]), across)
    return op.Squeeze(_apply_floats(op, op.Transpose(wide, perm=[1, 0, 2]), down), [2])


def _single(op: Op, value: Value) -> Value:
    return op.Cast(value, to=ir.DataType.FLOAT)  # Pillow's boxes are single precision


def _taps(op: Op, name: Resample, size: Value, start: Value, stop: Value, new: Value) -> Taps:
    """Follow ``precompute_coeffs``: ``start`` and ``stop`` are float32 scalars."""
    support, curve = _FILTERS[name]
    one = constant(op, 1, np.int64)
    zero = constant(op, 0, np.int64)
    scale = op.Div(real(op, op.Sub(stop, start)), real(op, new))
    filter_scale = op.Max(scale, 1.0)
    reach = op.Mul(filter_scale, support)
    centers = op.Add(
        real(op, start), op.Mul(op.Add(real(op, op.Range(zero, new, one)), 0.5), scale)
    )
    first = op.Max(whole(op, op.Add(op.Sub(centers, reach), 0.5)), zero)
    end = op.Min(whole(op, op.Add(op.Add(centers, reach), 0.5)), size)
    count = op.Add(op.Mul(whole(op, op.Ceil(reach)), 2), 1)
    inputs = op.Add(op.Unsqueeze(first, [1]), op.Range(zero, count, one))
    offsets = op.Add(op.Sub(real(op, inputs), op.Unsqueeze(centers, [1])), 0.5)
    raw = curve(op, op.Mul(offsets, op.Div(constant(op, 1.0, np.float64), filter_scale)))
    raw = op.Where(op.Less(inputs, op.Unsqueeze(end, [1])), raw, constant(op, 0.0, np.float64))
    weights = op.Div(raw, op.ReduceSum(raw, [1], keepdims=1))
    return Taps(first, weights, count, op.Sub(size, one))


def _apply_bytes(op: Op, image: Value, taps: Taps) -> Value:
    """Resize axis 0 of an (n, a, b) uint8 array in fixed point."""
    unit = 1 << _PRECISION_BITS
    half = op.Mul(op.Sign(taps.weights), 0.5)
    weights = op.Cast(op.Add(op.Mul(taps.weights, float(unit)), half), to=ir.DataType.INT32)
    total = _accumulate(
        op, op.Cast(image, to=ir.DataType.INT32), taps, weights, np.int32, unit // 2
    )
    total = op.Div(op.Max(total, constant(op, 0, np.int32)), constant(op, unit, np.int32))
    return op.Cast(op.Min(total, constant(op, 255, np.int32)), to=ir.DataType.UINT8)


def _apply_floats(op: Op, array: Value, taps: Taps) -> Value:
    """Resize axis 0 of an (n, a, b) float32 array; the sum is double, the result single."""
    return _single(op, _accumulate(op, real(op, array), taps, taps.weights, np.float64, 0))


def _accumulate(op: Op, array: Value, taps: Taps, weights: Value, dtype: Any, start: int) -> Value:
    """Return ``start + sum_t weights[:, t] * array[first + t]`` along axis 0."""
    per_tap = op.Unsqueeze(op.Transpose(weights, perm=[1, 0]), [2, 3])
    new = op.Shape(taps.first)
    shape = op.Concat(new, op.Shape(array, start=1), axis=0)
    total = op.Expand(constant(op, start, dtype), shape)

    def add_tap(op: Op, tap: Value, going: Value, total: Value) -> list[Value]:
        inputs = op.Min(op.Add(taps.first, tap), taps.last_input)
        product = op.Mul(op.Gather(array, inputs, axis=0), op.Gather(per_tap, tap, axis=0))
        return [op.Identity(going), op.Add(total, product)]

    return loop(op, taps.count, add_tap, total, ir.DataType.from_numpy(np.dtype(dtype)))


def _box(op: Op, x: Value) -> Value:
    inside = op.And(op.Greater(x, -0.5), op.LessOrEqual(x, 0.5))
    return real(op, inside)


def _bilinear(op: Op, x: Value) -> Value:
    return op.Max(op.Sub(constant(op, 1.0, np.float64), op.Abs(x)), 0.0)


def _sinc(op: Op, x: Value) -> Value:
    """Return ``sin(pi x) / (pi x)``, 1 at 0."""
    angle = op.Mul(x, math.pi)
    at_zero = op.Equal(x, 0.0)
    one = constant(op, 1.0, np.float64)
    return op.Where(at_zero, one, op.Div(op.Sin(angle), op.Where(at_zero, one, angle)))


def _hamming(op: Op, x: Value) -> Value:
    near, far = _HAMMING
    bell = op.Add(op.Mul(op.Cos(op.Mul(x, math.pi)), far), near)
    inside = op.Less(op.Abs(x), 1.0)
    return op.Where(inside, op.Mul(_sinc(op, x), bell), constant(op, 0.0, np.float64))


def _bicubic(op: Op, x: Value) -> Value:
    a = _BICUBIC_A
    x = op.Abs(x)
    # ((a + 2) x - (a + 3)) x^2 + 1 below 1, (((x - 5) x + 8) x - 4) a below 2
    near = op.Add(op.Mul(op.Mul(op.Sub(op.Mul(x, a + 2), a + 3), x), x), 1.0)
    far = op.Mul(op.Sub(op.Mul(op.Add(op.Mul(op.Sub(x, 5.0), x), 8.0), x), 4.0), a)
    outer = op.Where(op.Less(x, 2.0), far, constant(op, 0.0, np.float64))
    return op.Where(op.Less(x, 1.0), near, outer)


def _lanczos(op: Op, x: Value) -> Value:
    inside = op.And(op.GreaterOrEqual(x, -3.0), op.Less(x, 3.0))
    value = op.Mul(_sinc(op, x), _sinc(op, op.Div(x, 3.0)))
    return op.Where(inside, value, constant(op, 0.0, np.float64))


#: Support and curve of each filter; ``nearest`` is not a convolution.
_FILTERS: dict[str, tuple[float, Callable[[Op, Value], Value]]] = {
    "box": (0.5, _box),
    "bilinear": (1.0, _bilinear),
    "hamming": (1.0, _hamming),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, _lanczos),
}

#: Filters that can be written as operators.
FILTERS = frozenset(_FILTERS)
