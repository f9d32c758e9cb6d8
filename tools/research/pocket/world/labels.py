"""Per-patch labels of a view: what is under each patch of the model's input."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tools.research.pocket.world.model_input import GRID, INPUT_SIDE, PATCH
from tools.research.pocket.world.views import Objects
from tools.research.pocket.world.vocabulary import (
    COLUMNS,
    LETTERS,
    ROWS,
)

#: An object is labelled on patches that it covers by more than this share.
_COVERED = 0.2
_LEAST_VISIBLE = 0.35
_WHOLE = 0.8
#: Smallest sides in input pixels at which a letter and a word can be read.
_READABLE_LETTER, _READABLE_WORD = 15, 20


class Labels(NamedTuple):
    """Per-patch labels, (..., GRID * GRID): 0 is background or nothing to read.

    ``place`` is the ninth of the input where the object's centre lies; it counts on objects only.
    """

    color: Any
    shape: Any
    text: Any
    place: Any
    weight: Any


def patch_labels(objects: Objects) -> Labels:
    """Return int64 labels and float32 weights; small objects' patches weigh more."""
    objects = objects[objects["visible"] >= _LEAST_VISIBLE]
    empty = np.zeros(GRID * GRID, np.int64)
    if not len(objects):
        return Labels(empty, empty, empty, empty, empty.astype(np.float32))
    across, distance_x = _along(objects["x"], objects["w"])
    down, distance_y = _along(objects["y"], objects["h"])
    cover = (down[:, :, None] * across[:, None, :]).reshape(len(objects), -1)
    owner, patch = cover.argmax(axis=0), np.arange(GRID * GRID)
    labelled = cover[owner, patch] > _COVERED
    row, column = patch // GRID, patch % GRID
    dx, dy = distance_x[owner, column], distance_y[owner, row]
    own = objects[owner]
    falloff = np.exp(-4 * (dx / (own["w"] + PATCH)) ** 2 - 4 * (dy / (own["h"] + PATCH)) ** 2)
    share = np.minimum(1, PATCH**2 / (own["w"] * own["h"]))
    weight = np.where(labelled, np.maximum(0.03, share * falloff), 0)
    central = (np.abs(dx) < 0.28 * own["w"] + 3) & (np.abs(dy) < 0.28 * own["h"] + 3)
    text = np.where(labelled & central & readable(own), own["text"].astype(np.int64) + 1, 0)
    return Labels(
        np.where(labelled, own["color"].astype(np.int64) + 1, 0),
        np.where(labelled, own["shape"].astype(np.int64) + 1, 0),
        text,
        place_index(own["x"], own["y"]),
        weight.astype(np.float32),
    )


def place_index(x: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:
    """Return the index into ``PLACES`` of points in pixels of the input."""
    row, column = (
        np.clip(np.asarray(value) / INPUT_SIDE * len(names), 0, len(names) - 1).astype(np.int64)
        for value, names in ((y, ROWS), (x, COLUMNS))
    )
    return np.asarray(row * len(COLUMNS) + column)


def readable(objects: Objects) -> NDArray[np.bool_]:
    """Return which objects carry a text that is whole and large enough to be read."""
    smallest = np.where(objects["text"] < len(LETTERS), _READABLE_LETTER, _READABLE_WORD)
    large = np.minimum(objects["w"], objects["h"]) >= smallest
    return np.asarray((objects["visible"] > _WHOLE) & large & (objects["text"] >= 0))


def _along(center: NDArray[Any], size: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the share of each patch covered, and its distance, along one axis; (n, GRID)."""
    start = np.arange(GRID) * PATCH
    low, high = (center - size / 2)[:, None], (center + size / 2)[:, None]
    cover = np.minimum(high, start + PATCH) - np.maximum(low, start)
    return np.clip(cover, 0, None) / PATCH, start + PATCH / 2 - center[:, None]
