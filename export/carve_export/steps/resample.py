"""Pillow's resampling as ONNX operators (``Resample.c`` of Pillow: the definition of a resize).

Bytes are resized in the same fixed-point arithmetic, so results are equal to the byte wherever the
filter is computed in double precision: products of bytes and weights of 22 bits are exact there,
and so are their sums, in any order. A loop makes a few rows at a time, as a small matrix product:
dense matrices would grow with the third power of a side, and the picture is nowhere widened as a
whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from carve_export.steps.filters import FILTERS
from carve_export.steps.operators import (
    Op,
    Value,
    choose,
    collect,
    constant,
    count_up,
    real,
    single,
    vector,
    whole,
)
from carve_models.image_rules import Resample

_PRECISION_BITS = 32 - 8 - 2  # fixed point: 8 bits of a byte, 2 for overshoot

#: Rows that are made at a time: their inputs overlap.
_ROWS = 16


@dataclass(frozen=True)
class Axis:
    """How one axis of a picture is resized.

    Attributes:
        size: number of inputs, int64 scalar.
        start: where the box begins, float32 scalar.
        stop: where it ends.
        target: number of outputs, int64 scalar.
    """

    size: Value
    start: Value
    stop: Value
    target: Value

    def or_other(self, op: Op, other: Axis, condition: Value) -> Axis:
        """Return this axis where the condition is true, else the other."""
        return Axis(
            op.Where(condition, self.size, other.size),
            op.Where(condition, self.start, other.start),
            op.Where(condition, self.stop, other.stop),
            op.Where(condition, self.target, other.target),
        )


@dataclass(frozen=True)
class _Taps:
    """Which inputs make an output, and how much of each.

    Attributes:
        first: (n,) int64.
        end: (n,) int64, the one behind the last.
        centers: (n,) float64.
        shrink: what distances from a centre are multiplied by, float64 scalar.
        curve: the filter's.
    """

    first: Value
    end: Value
    centers: Value
    shrink: Value
    curve: Callable[[Op, Value], Value]

    def weights(self, op: Op, outputs: Value, inputs: Value) -> Value:
        """Return the weights of some inputs, (m,) int64, in some outputs, (n,): (n, m) float64.

        The inputs must include all that the outputs are made of.
        """
        first, end, centers = (
            op.Unsqueeze(op.Gather(values, outputs), [1])
            for values in (self.first, self.end, self.centers)
        )
        offsets = op.Add(op.Sub(real(op, inputs), centers), 0.5)
        raw = self.curve(op, op.Mul(offsets, self.shrink))
        within = op.And(op.GreaterOrEqual(inputs, first), op.Less(inputs, end))
        raw = op.Where(within, raw, constant(op, 0.0, np.float64))
        return op.Div(raw, op.ReduceSum(raw, [1], keepdims=1))


@dataclass(frozen=True)
class _Arithmetic:
    """What tells bytes from floats.

    Attributes:
        dtype: of the picture.
        weights: rounds weights, float64.
        total: sums (n, m) weights times (m, k) inputs.
        result: rounds a sum, float64 to ``dtype``.
    """

    dtype: ir.DataType
    weights: Callable[[Op, Value], Value]
    total: Callable[[Op, Value, Value], Value]
    result: Callable[[Op, Value], Value]


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
    if name == "nearest":
        rows, columns = (_nearest(op, *sides) for sides in zip(size, target, strict=True))
        return op.Gather(op.Gather(image, rows, axis=0), columns, axis=1)
    nothing = constant(op, 0.0, np.float32)
    down, across = (
        Axis(old, nothing, single(op, old), new) for old, new in zip(size, target, strict=True)
    )
    return _resize(op, image, down, across, name, _BYTES)


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
    left, top, right, bottom = (single(op, edge) for edge in box)
    down, across = Axis(rows, top, bottom, height), Axis(columns, left, right, width)
    planes = op.Unsqueeze(array, [2])
    return op.Squeeze(_resize(op, planes, down, across, "bilinear", _FLOATS), [2])


def _nearest(op: Op, size: Value, target: Value) -> Value:
    """Return the input of each output, int64: Pillow steps along an axis, adding up."""
    step = op.Div(real(op, size), real(op, target))
    rest = op.Expand(step, vector(op, op.Sub(target, constant(op, 1, np.int64))))
    steps = op.Concat(vector(op, op.Mul(step, 0.5)), rest, axis=0)
    return whole(op, op.CumSum(steps, constant(op, 0, np.int64)))


def _resize(
    op: Op, picture: Value, down: Axis, across: Axis, name: Resample, kind: _Arithmetic
) -> Value:
    """Resize both axes of a (rows, columns, channels) picture in the order of Pillow 13.

    It begins with the rows where they lose more than twice as many as the columns, which are fewer
    then; with the columns otherwise.
    """
    lost, lost_across = (op.Sub(axis.size, axis.target) for axis in (down, across))
    more = op.Greater(lost, op.Mul(lost_across, 2))
    rows_first = op.And(op.Greater(lost, constant(op, 0, np.int64)), more)
    first, second = down.or_other(op, across, rows_first), across.or_other(op, down, rows_first)
    picture = _turned_if(op, op.Not(rows_first), picture, kind.dtype)
    picture = _resize_rows(op, picture, first, name, kind)
    picture = op.Transpose(picture, perm=[1, 0, 2])
    picture = _resize_rows(op, picture, second, name, kind)
    return _turned_if(op, rows_first, picture, kind.dtype)


def _turned_if(op: Op, turns: Value, picture: Value, dtype: ir.DataType) -> Value:
    """Exchange rows and columns if ``turns``, a bool scalar."""
    return choose(
        op,
        turns,
        lambda op: op.Transpose(picture, perm=[1, 0, 2]),
        lambda op: op.Identity(picture),
        dtype,
    )


def _resize_rows(op: Op, picture: Value, axis: Axis, name: Resample, kind: _Arithmetic) -> Value:
    """Resize axis 0 of an (n, m, channels) picture."""
    taps = _taps(op, axis, name)
    one = constant(op, 1, np.int64)
    block = constant(op, _ROWS, np.int64)
    last_output, last_input = op.Sub(axis.target, one), op.Sub(axis.size, one)
    trips = op.Div(op.Add(axis.target, _ROWS - 1), block)
    starts = op.Mul(count_up(op, trips), block)
    stops = op.Min(op.Add(starts, _ROWS - 1), last_output)
    seen = op.Sub(op.Gather(taps.end, stops), op.Gather(taps.first, starts))
    width = op.ReduceMax(seen, keepdims=0)
    rows = op.Reshape(picture, op.Concat(op.Shape(picture, end=1), [-1], axis=0))

    def make_rows(op: Op, trip: Value) -> Value:
        # Past the end the last row is made again: every trip gives as many.
        outputs = op.Add(op.Mul(trip, block), count_up(op, block))
        outputs = op.Min(outputs, last_output)
        first = op.Gather(taps.first, op.Mul(trip, block))
        inputs = op.Add(first, count_up(op, width))
        weights = kind.weights(op, taps.weights(op, outputs, inputs))
        some = real(op, op.Gather(rows, op.Min(inputs, last_input), axis=0))
        return kind.result(op, kind.total(op, weights, some))

    made = collect(op, trips, make_rows, kind.dtype)  # (trips, _ROWS, m * channels)
    shape = op.Concat([-1], op.Shape(picture, start=1), axis=0)
    return op.Slice(op.Reshape(made, shape), [0], op.Unsqueeze(axis.target, [0]), [0])


def _taps(op: Op, axis: Axis, name: Resample) -> _Taps:
    """Follow ``precompute_coeffs``."""
    support, curve = FILTERS[name]
    scale = op.Div(real(op, op.Sub(axis.stop, axis.start)), real(op, axis.target))
    filter_scale = op.Max(scale, 1.0)
    reach = op.Mul(filter_scale, support)
    middles = op.Add(real(op, count_up(op, axis.target)), 0.5)
    centers = op.Add(real(op, axis.start), op.Mul(middles, scale))
    return _Taps(
        first=op.Max(whole(op, op.Add(op.Sub(centers, reach), 0.5)), constant(op, 0, np.int64)),
        end=op.Min(whole(op, op.Add(op.Add(centers, reach), 0.5)), axis.size),
        centers=centers,
        shrink=op.Div(constant(op, 1.0, np.float64), filter_scale),
        curve=curve,
    )


def _fixed_point(op: Op, weights: Value) -> Value:
    unit = float(1 << _PRECISION_BITS)
    rounded = op.Add(op.Mul(weights, unit), op.Mul(op.Sign(weights), 0.5))
    return op.Div(real(op, op.Cast(rounded, to=ir.DataType.INT32)), unit)


def _byte(op: Op, total: Value) -> Value:
    nearest = op.Floor(op.Add(total, 0.5))
    return op.Cast(op.Min(op.Max(nearest, 0.0), 255.0), to=ir.DataType.UINT8)


def _product(op: Op, weights: Value, inputs: Value) -> Value:
    return op.MatMul(weights, inputs)


def _rounded_products(op: Op, weights: Value, inputs: Value) -> Value:
    """Round each product before the sum, as Pillow does; a matrix product may not."""
    products = op.Mul(op.Unsqueeze(weights, [2]), op.Unsqueeze(inputs, [0]))
    return op.ReduceSum(products, [1], keepdims=0)


_BYTES = _Arithmetic(ir.DataType.UINT8, _fixed_point, _product, _byte)
_FLOATS = _Arithmetic(ir.DataType.FLOAT, lambda op, weights: weights, _rounded_products, single)
