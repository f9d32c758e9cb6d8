"""Choose layer, regulariser and wording on one split; quote them, and controls, on another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tools.research.pocket_l.pointing.contrast import (
    REGULARIZERS,
    WORDINGS,
    Floats,
    Regularizer,
    Wording,
    contrast,
    general_attention,
    question_attention,
    with_sum,
)
from tools.research.pocket_l.pointing.split import Split, Tokens
from tools.shared.models.pointing import NEAR, chance, hits, strongest

#: ``None`` is the question's attention alone.
Method = tuple[Wording, Regularizer | None]
ALONE: tuple[Method, ...] = tuple((wording, None) for wording in WORDINGS)
CONTRAST: tuple[Method, ...] = tuple((w, r) for w in WORDINGS for r in REGULARIZERS)


@dataclass(frozen=True)
class Choice:
    """A way to point.

    Attributes:
        wording: which passes end with the suffix.
        regularizer: of the contrast; ``None`` is the question's attention alone.
        layer: the layer; the number of layers stands for their sum.
    """

    wording: Wording
    regularizer: Regularizer | None
    layer: int

    def at(self, points: Points) -> Tokens:
        """Return where it points, (n, 2)."""
        return points[self.wording, self.regularizer][:, self.layer]


#: Where every method points: (n, layers + 1, 2), the last for the sum over layers.
Points = dict[Method, Tokens]


def point(split: Split, grid: tuple[int, int], general: Floats | None = None) -> Points:
    """Return where each method points.

    Args:
        split: the attention.
        grid: rows and columns of the image's tokens.
        general: replaces ``A_G``: (2, n or 1, layers, tokens), as in :class:`Split`.
    """
    if general is not None:
        split = replace(split, general=general)
    points: Points = {}
    for wording, regularizer in (*ALONE, *CONTRAST):
        maps = question_attention(split, wording)
        if regularizer is not None:
            maps = contrast(maps, general_attention(split, wording), regularizer)
        points[wording, regularizer] = strongest(with_sum(maps), grid)
    return points


def choose(points: Points, targets: Tokens, methods: Iterable[Method]) -> Choice:
    """Return the method and layer that point near the target most often; ties take the first."""
    rates = {method: rate(points[method], targets) for method in methods}
    best = max(rates, key=lambda method: rates[method].max())
    return Choice(*best, layer=int(rates[best].argmax()))


def rate(points: Tokens, targets: Tokens, reach: int = NEAR) -> NDArray[np.float64]:
    """Return the share of (n, layers, 2) points that hit, by layer."""
    return np.asarray(hits(points, targets[:, None], reach).mean(axis=0))


def of_average_scene(split: Split) -> Floats:
    """Return ``A_G`` averaged over a split: what is due to position alone, (2, 1, L, N)."""
    _, first = np.unique(split.scene, return_index=True)
    return np.asarray(split.general[:, first].mean(axis=1, keepdims=True))


def of_another_scene(split: Split) -> Floats:
    """Return each question's ``A_G`` replaced by that of the next scene, (2, n, L, N)."""
    following = np.searchsorted(split.scene, split.scene, side="right") % len(split.scene)
    return split.general[:, following]


def other_hits(points: Tokens, split: Split, reach: int = NEAR) -> NDArray[np.float64]:
    """Return for each question the share of the scene's other objects that are hit, (n,)."""
    pairs = zip(points, split.other_objects, strict=True)
    return np.array([hits(token, objects, reach).mean() for token, objects in pairs])


def chance_hits(split: Split, grid: tuple[int, int], reach: int = NEAR) -> NDArray[np.float64]:
    """Return for each question how often a random token hits its target, (n,)."""
    return chance(split.targets, grid, reach)
