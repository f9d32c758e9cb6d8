"""Black out, crop and magnify as ONNX operators: the twin of ``carve_runtime.method.refine``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from carve_export.steps.operators import Op, Value, constant, real, scalars, vector, whole
from carve_export.steps.resample import resize_bytes
from carve_runtime.method.refine import DEFAULT_GROWTH


class Refined(NamedTuple):
    """The refined image (h, w, 3) uint8, its box (4,) int64, and whether the limit reduced it."""

    image: Value
    box: Value
    limited: Value


def refine_image(op: Op, image: Value, mask: Value, max_pixels: Value) -> Refined:
    """Return the magnified crop of the kept regions.

    Args:
        op: the operators.
        image: (H, W, 3) uint8.
        mask: (H, W) bool.
        max_pixels: upper limit of the result's pixels, int64 scalar; 0 is four times the image's.
    """
    box = _bounding_box(op, mask)
    x0, y0, x1, y1 = scalars(op, box, 4)
    black = constant(op, 0, np.uint8)
    kept = op.Where(op.Unsqueeze(mask, [2]), image, black)
    crop = op.Slice(kept, vector(op, y0, x0), vector(op, y1, x1), [0, 1])
    crop_size = op.Sub(y1, y0), op.Sub(x1, x0)
    image_size = scalars(op, op.Shape(mask), 2)
    target, limited = _magnified_size(op, crop_size, (image_size[0], image_size[1]), max_pixels)
    return Refined(resize_bytes(op, crop, crop_size, target, "lanczos"), box, limited)


def _bounding_box(op: Op, mask: Value) -> Value:
    """Return x0, y0, x1, y1, half-open: the whole image if the mask is empty."""
    kept = op.ReduceSum(whole(op, mask), keepdims=0)
    is_empty = op.Equal(kept, constant(op, 0, np.int64))
    places = op.NonZero(op.Or(mask, is_empty))  # (2, pixels): rows, columns
    first = scalars(op, op.ReduceMin(places, [1], keepdims=0), 2)
    one = constant(op, 1, np.int64)
    last = scalars(op, op.Add(op.ReduceMax(places, [1], keepdims=0), one), 2)
    return vector(op, first[1], first[0], last[1], last[0])


def _magnified_size(
    op: Op, crop: tuple[Value, Value], image: tuple[Value, Value], max_pixels: Value
) -> tuple[tuple[Value, Value], Value]:
    """Return height and width, int64 scalars, and whether the limit reduced them."""
    (h, w), (height, width) = crop, image
    growth = constant(op, DEFAULT_GROWTH, np.int64)
    zero, one = constant(op, 0, np.int64), constant(op, 1, np.int64)
    default = op.Mul(op.Mul(height, width), growth)
    limit = op.Where(op.Equal(max_pixels, zero), default, max_pixels)
    scale = op.Max(op.Div(real(op, width), real(op, w)), op.Div(real(op, height), real(op, h)))
    free = [whole(op, op.Mul(real(op, side), scale)) for side in (h, w)]
    limited = op.Greater(op.Mul(*free), limit)
    smaller = op.Sqrt(op.Div(real(op, limit), real(op, op.Mul(w, h))))
    bounded = [
        op.Min(op.Max(whole(op, op.Mul(real(op, side), smaller)), one), limit) for side in (h, w)
    ]
    new_height, new_width = (
        op.Where(limited, less, more) for less, more in zip(bounded, free, strict=True)
    )
    return (new_height, new_width), limited
