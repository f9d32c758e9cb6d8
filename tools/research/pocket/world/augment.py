"""Random crops, brightness and noise: from a stored view to the model's input."""

from __future__ import annotations

import numpy as np

from tools.research.pocket.world.model_input import INPUT_SIDE
from tools.research.pocket.world.views import SIDE, View

#: An object counts as cut off by what it loses beyond this margin around the input, pixels.
_MARGIN = 8
_LEAST_VISIBLE = 0.02


def augment(rng: np.random.Generator, view: View, offset: tuple[int, int] | None = None) -> View:
    """Return a random crop of a view at the input's size, mostly with other brightness and noise.

    Args:
        rng: source of randomness.
        view: a view of ``SIDE`` pixels.
        offset: left and top edge of the crop; both views of a pair take the same.
    """
    left, top = offset or draw_offset(rng)
    pixels = view.pixels[top : top + INPUT_SIDE, left : left + INPUT_SIDE]
    if rng.random() < 0.6:
        noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(0, 6)
        shift = rng.uniform(-15, 15) * (pixels > 0)  # black stays black: it marks what was removed
        pixels = np.clip(pixels * rng.uniform(0.75, 1.2) + shift + noise, 0, 255).astype(np.uint8)
    objects = view.objects.copy()
    objects["x"] -= left
    objects["y"] -= top
    for center, size in (("x", "w"), ("y", "h")):
        start = objects[center] - objects[size] / 2
        stop = objects[center] + objects[size] / 2
        inside = np.minimum(stop, INPUT_SIDE) - np.maximum(start, 0)
        before = np.minimum(stop, INPUT_SIDE + _MARGIN) - np.maximum(start, -_MARGIN)
        objects["visible"] *= np.clip(inside, 0, None) / np.maximum(before, 1e-6)
    return View(pixels, objects[objects["visible"] > _LEAST_VISIBLE])


def draw_offset(rng: np.random.Generator) -> tuple[int, int]:
    """Return a random left and top edge."""
    left, top = rng.integers(0, SIDE - INPUT_SIDE + 1, 2)
    return int(left), int(top)
