"""Pillow's filters as ONNX operators, in double precision (``Resample.c`` of Pillow)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from carve_export.steps.operators import Op, Value, constant, real
from carve_models.image_rules import Resample

_BICUBIC_A = -0.5
_HAMMING = float(np.float32(0.54)), float(np.float32(0.46))  # single precision in Pillow too


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


#: Support and curve of each filter that is a convolution.
FILTERS: dict[Resample, tuple[float, Callable[[Op, Value], Value]]] = {
    "box": (0.5, _box),
    "bilinear": (1.0, _bilinear),
    "hamming": (1.0, _hamming),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, _lanczos),
}
