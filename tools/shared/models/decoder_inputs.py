"""Made-up inputs of a decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.manifest import DecoderSpec

_SEED = 0
#: Of random embeddings and caches: about that of a trained model's embeddings.
_SCALE = np.float32(0.1)


def random_embeds(spec: DecoderSpec, length: int) -> NDArray[np.float32]:
    """Return (1, length, H) float32 embeddings, the same every time."""
    return _random((1, length, spec.hidden_size))


def graph_inputs(spec: DecoderSpec, embeds: NDArray[np.float32], past: int = 0) -> dict[str, Any]:
    """Return a decoder graph's inputs: (1, S, H) embeddings behind a random cache.

    Args:
        spec: of a decoder whose positions are sequential.
        embeds: of the new positions.
        past: positions of the cache.
    """
    stop = past + embeds.shape[1]
    cache = _random((1, spec.key_value_heads, past, spec.head_dim))
    return {
        names.INPUTS_EMBEDS: embeds,
        names.ATTENTION_MASK: np.ones((1, stop), np.int64),
        names.POSITION_IDS: np.arange(past, stop, dtype=np.int64)[None],
        **dict.fromkeys(names.past_names(range(spec.layers)), cache),
    }


def _random(shape: tuple[int, ...]) -> NDArray[np.float32]:
    values = np.random.default_rng(_SEED).standard_normal(shape, np.float32)
    return np.asarray(values * _SCALE)
