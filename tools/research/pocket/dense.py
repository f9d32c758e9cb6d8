"""Dense supervision of the vision tower: what is under each patch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional

from tools.research.pocket.architecture import GRID, PATCH, SIDE
from tools.research.pocket.views import Objects
from tools.research.pocket.vocabulary import (
    COLOR_NAMES,
    COLUMNS,
    LETTERS,
    PLACES,
    ROWS,
    SHAPE_NAMES,
    TEXTS,
)

#: An object is labelled on patches that it covers by more than this share.
_COVERED = 0.2
_LEAST_VISIBLE = 0.35
_WHOLE = 0.8
#: Smallest sides in input pixels at which a letter and a word can be read.
_READABLE_LETTER, _READABLE_WORD = 15, 20
_BACKGROUND_WEIGHT = 0.04
_PLACE_WEIGHT = 0.3
_CLASSES = (len(COLOR_NAMES) + 1, len(SHAPE_NAMES) + 1, len(TEXTS) + 1, len(PLACES))


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
        np.clip(np.asarray(value) / SIDE * len(names), 0, len(names) - 1).astype(np.int64)
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


class DenseHeads(nn.Module):
    """Linear read-outs of the labels from patch features; dropped after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, sum(_CLASSES))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return logits of each kind of label for (..., width) features."""
        logits: tuple[torch.Tensor, ...] = self.linear(self.norm(features)).split(_CLASSES, -1)
        return logits


def dense_loss(
    heads: DenseHeads, features: torch.Tensor, labels: Labels, text_weight: float
) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the loss of (B, patches, width) features, and accuracies on objects."""
    color, shape, text, place = (logits.flatten(0, 1) for logits in heads(features))
    targets = Labels(*(label.flatten() for label in labels))
    inside = targets.color > 0
    everywhere = targets.weight + (~inside).float() * _BACKGROUND_WEIGHT
    legible = targets.text > 0
    loss = (
        _weighted_loss(color, targets.color, everywhere)
        + _weighted_loss(shape, targets.shape, targets.weight)
        + text_weight * _weighted_loss(text, targets.text, targets.weight.sqrt() * legible)
        + _PLACE_WEIGHT * _weighted_loss(place, targets.place, targets.weight)
    )
    with torch.no_grad():
        metrics = {
            "color": _accuracy(color, targets.color, targets.weight),
            "shape": _accuracy(shape, targets.shape, targets.weight),
            "text": _accuracy(text, targets.text, targets.weight * legible),
            "place": _accuracy(place, targets.place, targets.weight),
        }
    return loss, metrics


def _weighted_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    losses = functional.cross_entropy(logits, target, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp(min=1e-6)


def _accuracy(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> float:
    hits = (logits.argmax(-1) == target).float()
    return float((hits * weight).sum() / weight.sum().clamp(min=1e-6))
