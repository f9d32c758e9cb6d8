"""What a map is made of, and what the methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Auto, Steps

#: (steps, layers, N), attention of some steps to the image's tokens.
Maps: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, eq=False)
class Rows:
    """The attention that was read for one question about one image.

    Attributes:
        question: (T_Q, L, N) float32, of each step's last position to the image's tokens.
        layers: the decoder's numbers of the ``L`` layers, in the order of the arrays.
        general: (T_G, L, N) float32 for each general instruction, the bundle's own first; as many
            as the method reads.
        answer: (T_Q, L, T_Q) float32, of each step's last position to that of every step up to it,
            0 behind; ``None`` where the method does not read it.
    """

    question: Maps
    layers: tuple[int, ...]
    general: tuple[Maps, ...] = ()
    answer: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Fusion:
    """The settings of these names (:class:`carve_models.settings.Settings`)."""

    steps: Steps = "all"
    regularizer: float | Auto = 1e-8


class AttentionMap(Protocol):
    """Attention in, map out."""

    def __call__(self, rows: Rows, fusion: Fusion, /) -> NDArray[np.float64]:
        """Return one value for each of the image's tokens, (N,); the more, the more it matters."""
        ...


def chosen(maps: NDArray[np.floating], steps: Steps, count: int | None = None) -> Maps:
    """Return the steps that are fused, of the first ``count`` of (T, L, N)."""
    common = len(maps) if count is None else count
    first, last = {"first": (0, 1), "all": (0, common), "last": (common - 1, common)}[steps]
    return maps[first:last]


def common_maps(question: Maps, general: Maps, steps: Steps) -> tuple[Maps, Maps]:
    """Return the steps that are fused, of those that both passes have."""
    count = min(len(question), len(general))
    return chosen(question, steps, count), chosen(general, steps, count)


def fuse(maps: NDArray[np.floating], steps: Steps) -> NDArray[np.float64]:
    """Return the sum of (T, L, N) chosen maps over layers and weighted steps, (N,)."""
    weights = np.arange(1.0, len(maps) + 1) if steps == "all" else np.ones(len(maps))
    return np.asarray(weights @ maps.sum(axis=1, dtype=np.float64))
