"""Stretches of a prompt as the decoder takes them: embeddings, positions, features of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models.families.family import Positions
from carve_models.names import MROPE_AXES
from carve_runtime.images.model_input import FEATURE, ModelInput
from carve_runtime.prompt.text import PromptPart


@dataclass(frozen=True)
class Features:
    """One image behind the vision encoder.

    Attributes:
        seen: what the encoder saw.
        tokens: (1, N, H) float32, the image tokens' embeddings.
        deepstack: (1, K, N, H) float32, what is added to the first K layers' states; or ``None``.
    """

    seen: ModelInput
    tokens: NDArray[np.float32]
    deepstack: NDArray[np.float32] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens."""
        return self.tokens.nbytes + (0 if self.deepstack is None else self.deepstack.nbytes)


@dataclass(frozen=True)
class PromptChunk:
    """A stretch of a prompt.

    Attributes:
        embeds: (1, S, H) float32.
        positions: (1, S) int64, or (3, 1, S) under M-RoPE.
        next_position: the position of what follows.
        deepstack: (1, K, S, H) float32, zero where there is no image token; or ``None``.
    """

    embeds: NDArray[np.float32]
    positions: NDArray[np.int64]
    next_position: int
    deepstack: NDArray[np.float32] | None = None

    @property
    def length(self) -> int:
        """``S``."""
        return int(self.embeds.shape[1])

    def part(self, start: int, stop: int) -> PromptChunk:
        """Return the positions from ``start`` to before ``stop``."""
        deepstack = None if self.deepstack is None else self.deepstack[:, :, start:stop]
        return PromptChunk(
            self.embeds[:, start:stop],
            self.positions[..., start:stop],
            self.next_position,
            deepstack,
        )


def prompt_ids(pieces: Sequence[PromptPart], images: Sequence[ModelInput]) -> NDArray[np.int64]:
    """Return a prompt's token ids, (S,), with ``FEATURE`` where image tokens stand."""
    parts = [images[piece].ids if isinstance(piece, int) else piece for piece in pieces]
    return np.concatenate([np.empty(0, np.int64), *parts])


def prompt_positions(
    pieces: Sequence[PromptPart], images: Sequence[ModelInput], rule: Positions, start: int
) -> tuple[NDArray[np.int64], int]:
    """Return position ids in the decoder's shape, and the position that follows.

    ``mrope`` follows ``get_rope_index`` of Qwen2.5-VL: an image's tokens share the time at which
    they start and stand at its rows and columns; what follows comes after the longer side.
    """
    if rule == "sequential":
        length = len(prompt_ids(pieces, images))
        return np.arange(start, start + length, dtype=np.int64)[None], start + length
    axes = []
    for piece in pieces:
        if isinstance(piece, int):
            rows, columns = images[piece].grid
            row, column = np.indices((rows, columns)).reshape(2, -1)
            axes.append(start + np.stack([np.zeros_like(row), row, column]))
            start += max(rows, columns)
        else:
            axes.append(np.tile(start + np.arange(len(piece)), (MROPE_AXES, 1)))
            start += len(piece)
    return np.concatenate(axes, axis=1).astype(np.int64)[:, None], start


def spread_features(
    ids: NDArray[np.int64], deepstack: Sequence[NDArray[np.float32]], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return (1, K, S, H): images' features for the first layers in the places of their tokens.

    Args:
        ids: (S,), of the whole stretch.
        deepstack: (1, K, N, H) of each image.
        shape: (K, H).
    """
    layers, hidden = shape
    spread = np.zeros((1, layers, len(ids), hidden), np.float32)
    if deepstack:
        spread[:, :, ids == FEATURE] = np.concatenate(deepstack, axis=2)
    return spread
