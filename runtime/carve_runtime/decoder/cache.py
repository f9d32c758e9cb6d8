"""Keys and values of the decoder, and the prefix that all passes about an image continue."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carve_runtime.backends.protocol import Value

if TYPE_CHECKING:
    from carve_runtime.decoder.decoder import Decoder


@dataclass
class Counts:
    """Work done so far, for one question.

    Attributes:
        vision_runs: images encoded.
        decoder_runs: chunks of positions that went through the decoder or its upper half.
        decoder_tokens: positions that went through its first layer.
        layer_tokens: positions times layers that they went through.
        bytes_copied: bytes of keys and values that were moved, not computed.
    """

    vision_runs: int = 0
    decoder_runs: int = 0
    decoder_tokens: int = 0
    layer_tokens: int = 0
    bytes_copied: int = 0

    def add(self, other: Counts) -> None:
        """Add another question's work."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True)
class Cache:
    """Keys and values of the first ``length`` positions.

    A run writes behind them and returns a longer cache. With room (``capacity``) both share their
    buffers, so going back to the shorter one rewinds, until another run writes there.

    Attributes:
        values: the buffers of each part of the decoder, in graph order.
        length: positions that are filled.
        capacity: positions that the buffers have room for; ``None`` where each run makes new ones.
        parts: how many parts of the decoder have filled theirs.
        next_position: the position id of what follows; not ``length`` under M-RoPE.
    """

    values: tuple[tuple[Value, ...], ...]
    length: int
    capacity: int | None
    parts: int
    next_position: int = 0

    def has_room(self, positions: int) -> bool:
        """Whether so many positions more can be written without a larger buffer."""
        return self.capacity is None or self.length + positions <= self.capacity

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, the room included."""
        sizes = (math.prod(value.shape()) for part in self.values for value in part)
        return sum(sizes) * np.dtype(np.float32).itemsize


class Prefix:
    """The cache of a prompt's beginning, which any number of passes continue, also at once.

    Passes write behind the prefix, one after the other into the same buffers. A pass that begins
    while another one runs gets a copy.
    """

    def __init__(
        self, decoder: Decoder, cache: Cache, states: Value, positions: NDArray[np.int64]
    ) -> None:
        """Take over a cache that nobody else continues.

        Args:
            decoder: what filled it.
            cache: the filled positions.
            states: what the last part that ran has returned for them: it lets the upper half
                follow later.
            positions: position ids of the filled positions.
        """
        self._decoder, self._cache, self._states = decoder, cache, states
        self._positions = positions
        self._lock, self._lent = Lock(), False

    @property
    def length(self) -> int:
        """Positions of the prefix."""
        return self._cache.length

    @property
    def next_position(self) -> int:
        """The position id of what follows."""
        return self._cache.next_position

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._cache.nbytes

    @contextmanager
    def lend(self, room: int, counts: Counts, *, lower: bool = False) -> Iterator[Cache]:
        """Yield the prefix with room behind it, to one pass.

        Args:
            room: positions that the pass will write.
            counts: is added to.
            lower: the pass needs the lower half of the decoder only.
        """
        with self._lock:
            if not lower:
                self._cache = self._decoder.complete(
                    self._cache, self._states, self._positions, counts
                )
            cache, mine = self._cache, False
            if cache.capacity is not None:
                mine = not self._lent
                if not mine or not cache.has_room(room):
                    cache = self._decoder.copy(cache, cache.length + room, counts)
                if mine:
                    self._cache, self._lent = cache, True
        try:
            yield cache
        finally:
            if mine:
                self._lent = False
