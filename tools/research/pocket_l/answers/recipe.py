"""What pocket-L is trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["bfloat16", "float32"]


@dataclass(frozen=True)
class Recipe:
    """All that decides the result, beside the checkpoint that training starts from.

    Attributes:
        steps: number of batches.
        batch: images of a batch; each with up to eight questions.
        easy: share of the steps that show nothing but large objects.
        rank: of the adapters.
        dropout: in front of the adapters; there is no end of data, so none is needed.
        rate: learning rate of adapters and projector.
        tower_rate: the vision tower's; 0 freezes it.
        precision: of the matrix products.
        seed: of data, adapters and dropout.
    """

    steps: int = 3000
    batch: int = 32
    easy: float = 0.3
    rank: int = 8
    dropout: float = 0.0
    rate: float = 1e-3
    tower_rate: float = 1e-4
    precision: Precision = "bfloat16"
    seed: int = 1
