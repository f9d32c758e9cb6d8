"""A bundle's decoder in the runtime, fed with random embeddings: what is timed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.cache import Cache
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts
from tools.shared.models.decoder_inputs import random_embeds
from tools.shared.timing import Way


class DecoderSteps:
    """Runs of a decoder whose positions are sequential, over one set of key/value buffers."""

    def __init__(self, bundle: Bundle, capacity: int) -> None:
        """Load the decoder, with buffers for ``capacity`` positions."""
        self._spec = bundle.manifest.decoder
        self._decoder = Decoder(bundle, BackendSettings())
        self.allocate(capacity)

    def allocate(self, capacity: int) -> None:
        """Make new buffers, for the ways that are asked for from now on."""
        self._empty = self._decoder.empty(capacity)

    def way(self, new: int, past: int = 0) -> Way:
        """Return a function that runs ``new`` positions behind ``past`` ones, which stay."""
        cache = self._step(past, self._empty)().cache if past else self._empty
        return self._step(new, cache)

    def _step(self, new: int, cache: Cache) -> Callable[[], Step]:
        stop = cache.length + new
        positions = np.arange(cache.length, stop, dtype=np.int64)[None]
        chunk = PromptChunk(random_embeds(self._spec, new), positions, stop)
        return lambda: self._decoder.step(chunk, cache, Counts())
