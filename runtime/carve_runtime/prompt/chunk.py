"""Chunks of a prompt as the decoder takes them: embeddings, positions, features of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.families.family import Positions
from carve_models.interface import FEATURE
from carve_models.names import MROPE_AXES
from carve_runtime.images.model_input import ModelInput
from carve_runtime.prompt.text import PromptPart

#: Embeddings, hidden states or features, of the bundle's dtype.
Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ImageFeatures:
    """One image behind the vision encoder.

    Attributes:
        model_input: what the encoder saw.
        tokens: (1, N, H), the image tokens' embeddings.
        deepstack: (1, K, N, H), what is added to the first K layers' states; or ``None``.
    """

    model_input: ModelInput
    tokens: Floats
    deepstack: Floats | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens."""
        return self.tokens.nbytes + (0 if self.deepstack is None else self.deepstack.nbytes)


@dataclass(frozen=True)
class PromptChunk:
    """Consecutive positions of a prompt.

    Attributes:
        embeds: (1, S, H).
        positions: (1, S) int64, or (3, 1, S) under M-RoPE.
        next_position: the position of what follows.
        deepstack: (1, K, S, H), zero where there is no image token; or ``None``.
    """

    embeds: Floats
    positions: NDArray[np.int64]
    next_position: int
    deepstack: Floats | None = None

    @property
    def length(self) -> int:
        """``S``."""
        return int(self.positions.shape[-1])

    def part(self, start: int, stop: int) -> PromptChunk:
        """Return the positions from ``start`` to before ``stop``."""
        deepstack = None if self.deepstack is None else self.deepstack[:, :, start:stop]
        return PromptChunk(
            self.embeds[:, start:stop],
            self.positions[..., start:stop],
            self.next_position,
            deepstack,
        )


def prompt_ids(parts: Sequence[PromptPart], images: Sequence[ModelInput]) -> NDArray[np.int64]:
    """Return a prompt's token ids, (S,), with ``FEATURE`` where image tokens stand."""
    ids = [images[part].ids if isinstance(part, int) else part for part in parts]
    return np.concatenate([np.empty(0, np.int64), *ids])


def image_starts(parts: Sequence[PromptPart], images: Sequence[ModelInput]) -> list[int]:
    """Return where each image of a prompt begins, in the order of the prompt."""
    starts, length = [], 0
    for part in parts:
        if isinstance(part, int):
            starts.append(length)
            length += len(images[part].ids)
        else:
            length += len(part)
    return starts


def prompt_positions(
    parts: Sequence[PromptPart], images: Sequence[ModelInput], rule: Positions, start: int
) -> tuple[NDArray[np.int64], int]:
    """Return position ids in the decoder's shape, and the position that follows.

    ``mrope`` follows ``get_rope_index`` of Qwen2.5-VL: an image's tokens share the time at which
    they start, those of later moments of a clip theirs, and stand at its rows and columns; what
    follows comes after the longer side, however late the last moment is.
    """
    if rule == "sequential":
        length = len(prompt_ids(parts, images))
        return np.arange(start, start + length, dtype=np.int64)[None], start + length
    axes = []
    for part in parts:
        if isinstance(part, int):
            (rows, columns), times = images[part].grid, images[part].times
            moment, row, column = np.indices((len(times), rows, columns)).reshape(3, -1)
            axes.append(start + np.stack([np.asarray(times)[moment], row, column]))
            start += max(rows, columns)
        else:
            axes.append(np.tile(start + np.arange(len(part)), (MROPE_AXES, 1)))
            start += len(part)
    return np.concatenate(axes, axis=1).astype(np.int64)[:, None], start


def spread_features(
    ids: NDArray[np.int64],
    deepstack: Sequence[Floats],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
) -> Floats:
    """Return (1, K, S, H): images' features for the first layers in the places of their tokens.

    Args:
        ids: (S,), of the whole chunk.
        deepstack: (1, K, N, H) of each image.
        shape: (K, H).
        dtype: the bundle's.
    """
    layers, hidden = shape
    spread: Floats = np.zeros((1, layers, len(ids), hidden), dtype)
    if deepstack:
        spread[:, :, ids == FEATURE] = np.concatenate(deepstack, axis=2)
    return spread
