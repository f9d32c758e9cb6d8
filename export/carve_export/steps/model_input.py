"""What the graph gives of one image, and what every kind of image rule shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from carve_export.steps.operators import Op, Value, constant, real, scalars, vector
from carve_models.image_rules import ImageRule
from carve_models.interface import FEATURE
from carve_runtime.images.model_input import levels


@dataclass(frozen=True)
class ModelInput:
    """The twin of :class:`carve_runtime.images.model_input.ModelInput`.

    Attributes:
        feeds: inputs of the vision encoder, in the order of ``rule.encoder_inputs()``.
        ids: (S,) int64.
        map_tokens: (rows * columns,) int64.
        grid: rows and columns, int64 scalars.
        window: (4,) float64.
    """

    feeds: tuple[Value, ...]
    ids: Value
    map_tokens: Value
    grid: tuple[Value, Value]
    window: Value


def sides_of(op: Op, pixels: Value) -> tuple[Value, Value]:
    """Return height and width of an image, int64 scalars."""
    height, width = scalars(op, op.Shape(pixels), 2)
    return height, width


def whole_window(op: Op, size: tuple[Value, Value]) -> Value:
    """Return the window that covers all of an image, whose height and width are given."""
    height, width = (real(op, side) for side in size)
    nothing = constant(op, 0.0, np.float64)
    return vector(op, nothing, nothing, width, height)


def features_only(op: Op, count: Value) -> Value:
    """Return the ids of an image that is nothing but ``count`` image tokens."""
    return op.Expand(constant(op, FEATURE, np.int64), op.Unsqueeze(count, [0]))


def normalize(op: Op, pixels: Value, rule: ImageRule, channel_axis: int) -> Value:
    """Return float32 of bytes, looked up: see :func:`carve_runtime.images.model_input.levels`.

    Args:
        op: the operators.
        pixels: uint8.
        rule: the bundle's.
        channel_axis: the axis of red, green and blue, counted from the last one: -1, -2, ..
    """
    table = levels(rule)
    starts = np.arange(3).reshape(3, *[1] * (-1 - channel_axis)) * len(table)
    places = op.Add(op.Cast(pixels, to=ir.DataType.INT32), constant(op, starts, np.int32))
    return op.Gather(constant(op, table.T.ravel(), np.float32), places, axis=0)
