"""From bytes to a prompt's image as ONNX operators: the twin of ``carve_runtime.images``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from carve_export.steps.fixed import preprocess_fixed
from carve_export.steps.model_input import ModelInput
from carve_export.steps.native import preprocess_native
from carve_export.steps.operators import Op, Value, constant, count_up, vector
from carve_export.steps.tiled import preprocess_tiled
from carve_models.families.family import Positions
from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage

#: The steps of each kind of rule.
PREPROCESSING: dict[type[ImageRule], Callable[[Op, Value, Value, Any], ModelInput]] = {
    FixedImage: preprocess_fixed,
    NativeImage: preprocess_native,
    TiledImage: preprocess_tiled,
}


def preprocess(
    op: Op, image: Value, max_pixels: Value, rule: ImageRule, positions: Positions
) -> tuple[Value, ...]:
    """Return what ``docs/bundle.md`` lists as outputs of ``preprocess.onnx``, in its order.

    Args:
        op: the operators.
        image: (H, W, 3) uint8.
        max_pixels: the budget, int64 scalar; 0 for the model's own limit.
        rule: the bundle's.
        positions: how position ids grow.
    """
    seen = PREPROCESSING[type(rule)](op, image, max_pixels, rule)
    length = op.Squeeze(op.Shape(seen.ids), [0])
    at, following = POSITIONS[positions](op, length, seen.grid)
    return (
        *seen.feeds,
        seen.ids,
        at,
        following,
        seen.map_tokens,
        vector(op, *seen.grid),
        seen.window,
        constant(op, rule.least_pixels, np.int64),
    )


def _sequential(op: Op, length: Value, grid: tuple[Value, Value]) -> tuple[Value, Value]:
    """Return positions that count up, (1, S), and the one that follows."""
    return op.Unsqueeze(count_up(op, length), [0]), length


def _mrope(op: Op, length: Value, grid: tuple[Value, Value]) -> tuple[Value, Value]:
    """Return time, row and column of each token, (3, S), and the position that follows."""
    rows, columns = grid
    places = count_up(op, length)
    time = op.Mul(places, 0)
    row, column = op.Div(places, columns), op.Mod(places, columns)
    axes = [op.Unsqueeze(axis, [0]) for axis in (time, row, column)]
    return op.Concat(*axes, axis=0), op.Max(rows, columns)


#: Of each kind of positions, relative to the first of an image.
POSITIONS: dict[Positions, Callable[[Op, Value, tuple[Value, Value]], tuple[Value, Value]]] = {
    "sequential": _sequential,
    "mrope": _mrope,
}
