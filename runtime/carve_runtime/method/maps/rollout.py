"""Attention rollout over the layers and over the words of the answer.

Rollout (Abnar and Zuidema, "Quantifying Attention Flow in Transformers", arXiv 2005.00928) follows
attention through the layers: half of a position's content comes from what it attends to in a
layer, half is kept (the residual connection). A word of the answer sees the image directly, and
through the words before it.

A bundle returns the rows of the last position alone. So the image's tokens count as themselves in
every layer, and what comes from the text of the prompt is left out; the layers are those that are
fused, as if there were no others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_runtime.method.maps.rows import Fusion, Rows, chosen, fuse


def rollout(rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return how much of each image token has reached the chosen steps' last positions.

    Raises:
        SettingsError: the attention between the steps was not read.
    """
    if rows.answer is None:
        raise SettingsError(
            "the method rollout needs the attention between the words of the answer",
            "ask through Carve.ask, or choose another method",
        )
    steps, _, tokens = rows.question.shape
    reached = np.zeros((steps, tokens))
    for layer in np.argsort(rows.layers):
        seen = rows.question[:, layer] + rows.answer[:, layer] @ reached
        reached = (seen + reached) / 2
    return fuse(chosen(reached[:, None], fusion.steps), fusion.steps)


class AnswerRows:
    """Collects ``Rows.answer`` while a pass runs."""

    def __init__(self) -> None:
        """Begin before the first step."""
        self._rows: list[NDArray[np.float32]] = []
        self._start = 0

    def __call__(self, attention: NDArray[np.float32], _: int) -> None:
        """Take a step's (L, positions) or (L, H, positions) attention, as of ``Model.answer``."""
        if not self._rows:
            self._start = attention.shape[-1] - 1
        behind = attention[..., self._start :]
        self._rows.append(behind.reshape(len(behind), -1, behind.shape[-1]).mean(axis=1))

    def result(self) -> NDArray[np.float32]:
        """Return (T, L, T)."""
        return _padded(self._rows)


def _padded(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    padded = np.zeros((len(rows), len(rows[0]), len(rows)), np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[:, : row.shape[1]] = row
    return padded
