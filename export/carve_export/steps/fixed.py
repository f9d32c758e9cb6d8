"""Images of one size as ONNX operators: the twin of ``carve_runtime.images.fixed``."""

from __future__ import annotations

import numpy as np

from carve_export.steps.model_input import ModelInput, features_only, normalize, sides_of
from carve_export.steps.operators import Op, Value, constant, real, vector, whole
from carve_export.steps.resample import resize_bytes
from carve_models.image_rules import FixedImage


def preprocess_fixed(op: Op, image: Value, max_pixels: Value, rule: FixedImage) -> ModelInput:
    """Follow the steps of a :class:`carve_models.image_rules.FixedImage`.

    Args:
        op: the operators.
        image: (H, W, 3) uint8.
        max_pixels: not used: there is only one size.
        rule: the bundle's.
    """
    zero = constant(op, 0, np.int64)
    left = top = zero  # where the image begins in the pixel array, in pixels of the image
    pixels = image
    if rule.pad_color is not None:
        pixels, left, top = _pad_to_square(op, image, rule.pad_color)
    elif rule.crop is not None:
        pixels, left, top = _trim(op, image, rule.max_aspect_ratio)
    height, width = sides_of(op, pixels)
    scale_x = scale_y = constant(op, 1.0, np.float64)
    target = _resized_size(op, height, width, rule)
    if target is not None:
        scale_y = op.Div(real(op, height), real(op, target[0]))
        scale_x = op.Div(real(op, width), real(op, target[1]))
        pixels = resize_bytes(op, pixels, (height, width), target, rule.resample)
        height, width = target
    x0, y0 = real(op, op.Neg(left)), real(op, op.Neg(top))
    if rule.crop is not None:
        pixels, crop_left, crop_top = _center_crop(op, pixels, (height, width), rule.crop)
        x0 = op.Add(x0, op.Mul(real(op, crop_left), scale_x))
        y0 = op.Add(y0, op.Mul(real(op, crop_top), scale_y))
    seen_height, seen_width = (float(side * rule.patch_size) for side in rule.grid)
    x1, y1 = op.Add(x0, op.Mul(scale_x, seen_width)), op.Add(y0, op.Mul(scale_y, seen_height))
    values = normalize(op, op.Transpose(pixels, perm=[2, 0, 1]), rule, channel_axis=-3)
    tokens = rule.fewest_tokens
    return ModelInput(
        feeds=(op.Unsqueeze(values, [0]),),
        ids=features_only(op, constant(op, tokens, np.int64)),
        map_tokens=constant(op, list(range(tokens)), np.int64),
        grid=(constant(op, rule.grid[0], np.int64), constant(op, rule.grid[1], np.int64)),
        window=vector(op, x0, y0, x1, y1),
    )


def _half(op: Op, space: Value) -> Value:
    """Return ``floor(space / 2)``; ONNX divides integers towards zero."""
    return whole(op, op.Floor(op.Div(real(op, space), 2.0)))


def _resized_size(
    op: Op, height: Value, width: Value, rule: FixedImage
) -> tuple[Value, Value] | None:
    if rule.resize_to is not None:
        new_height, new_width = (constant(op, side, np.int64) for side in rule.resize_to)
        return new_height, new_width
    if rule.resize_shortest_edge is None:
        return None
    short = constant(op, rule.resize_shortest_edge, np.int64)
    longest, shortest = op.Max(height, width), op.Min(height, width)
    long = whole(op, op.Div(real(op, op.Mul(short, longest)), real(op, shortest)))
    upright = op.LessOrEqual(width, height)
    return op.Where(upright, long, short), op.Where(upright, short, long)


def _pad_to_square(op: Op, image: Value, color: tuple[int, int, int]) -> tuple[Value, Value, Value]:
    height, width = sides_of(op, image)
    side = op.Max(height, width)
    left, top = _half(op, op.Sub(side, width)), _half(op, op.Sub(side, height))
    zero = constant(op, 0, np.int64)
    right, bottom = op.Sub(op.Sub(side, width), left), op.Sub(op.Sub(side, height), top)
    around = vector(op, top, left, zero, bottom, right, zero)
    one_channel = op.Concat(op.Shape(image, end=2), [1], axis=0)
    inside = op.Pad(
        op.Expand(constant(op, True, np.bool_), one_channel), around, constant(op, False, np.bool_)
    )
    padded = op.Pad(image, around, constant(op, 0, np.uint8))
    return op.Where(inside, padded, constant(op, list(color), np.uint8)), left, top


def _trim(op: Op, image: Value, ratio: float) -> tuple[Value, Value, Value]:
    """Cut the ends off a sliver; the centre crop drops them anyway."""
    height, width = sides_of(op, image)
    zero = constant(op, 0, np.int64)
    longest = whole(op, op.Mul(real(op, op.Min(height, width)), ratio))
    x, y = (_half(op, op.Max(op.Sub(side, longest), zero)) for side in (width, height))
    trimmed = op.Slice(
        image, vector(op, y, x), vector(op, op.Add(y, longest), op.Add(x, longest)), [0, 1]
    )
    return trimmed, op.Neg(x), op.Neg(y)


def _center_crop(
    op: Op, pixels: Value, size: tuple[Value, Value], crop: tuple[int, int]
) -> tuple[Value, Value, Value]:
    """Return the crop and its left and top edge (negative where black was added)."""
    zero = constant(op, 0, np.int64)
    starts, stops, before, after, edges = [], [], [], [], []
    for side, length in zip(size, crop, strict=True):
        edge = _half(op, op.Sub(side, constant(op, length, np.int64)))
        end = op.Add(edge, length)
        starts.append(op.Max(edge, zero))
        stops.append(op.Min(end, side))
        before.append(op.Max(op.Neg(edge), zero))
        after.append(op.Max(op.Sub(end, side), zero))
        edges.append(edge)
    source = op.Slice(pixels, vector(op, *starts), vector(op, *stops), [0, 1])
    around = vector(op, *before, zero, *after, zero)
    return op.Pad(source, around, constant(op, 0, np.uint8)), edges[1], edges[0]
