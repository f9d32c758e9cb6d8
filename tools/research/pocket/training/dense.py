"""Dense supervision of the vision tower: read-outs of what is under each patch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tools.research.pocket.world.labels import Labels
from tools.research.pocket.world.vocabulary import COLOR_NAMES, PLACES, SHAPE_NAMES, TEXTS

_BACKGROUND_WEIGHT = 0.04
_PLACE_WEIGHT = 0.3
#: Of colour, shape and text, the first of which is "none"; and of the place.
_CLASSES = (len(COLOR_NAMES) + 1, len(SHAPE_NAMES) + 1, len(TEXTS) + 1, len(PLACES))


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
