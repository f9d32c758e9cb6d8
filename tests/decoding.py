"""Random stretches through a decoder, and how its results are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carve_runtime.decoder.cache import Cache
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts
from tests.comparing import assert_close


def embeddings(width: int, seed: int = 0, length: int = 90) -> Any:
    """Return (1, length, width) random numbers."""
    return np.random.default_rng(seed).standard_normal((1, length, width)).astype(np.float32)


def run_step(
    decoder: Decoder, embeds: Any, cache: Cache, counts: Counts, *, lower: bool = False
) -> Step:
    """Run embeddings whose positions follow those of the cache."""
    following = cache.next_position + embeds.shape[1]
    positions = np.arange(cache.next_position, following)[None]
    chunk = PromptChunk(embeds, positions, following)
    return decoder.step(chunk, cache, counts, parts=decoder.lower if lower else None)


def run(decoder: Decoder, embeds: Any, stops: Sequence[int], cache: Cache) -> list[Step]:
    """Run embeddings in chunks that end at ``stops``."""
    steps = []
    for start, stop in zip([0, *stops], stops, strict=False):
        steps.append(run_step(decoder, embeds[:, start:stop], cache, Counts()))
        cache = steps[-1].cache
    return steps


def assert_equal(found: Step, wanted: Step, tolerance: float = 1e-5) -> None:
    """Compare logits and attention; the tolerance is relative to the scale of the logits."""
    scale = max(1.0, float(np.abs(wanted.logits).max()))
    assert_close(found.logits, wanted.logits, atol=tolerance * scale)
    assert_close(found.attention, wanted.attention, atol=tolerance)
