"""Keys and values of the decoder, and the prefix that all passes about an image continue."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from carve_runtime.backends.protocol import Value
from carve_runtime.decoder.buffers import Lease


@dataclass(frozen=True)
class Cache:
    """Keys and values of the first ``length`` positions.

    A run writes behind them and returns a longer cache. In leased buffers both share them, so going
    back to the shorter one rewinds, until another run writes there.

    Attributes:
        values: the buffers of each part of the decoder, in graph order.
        length: positions that are filled.
        lease: of the buffers; ``None`` where each run makes new ones.
        parts: how many parts of the decoder have filled theirs.
        next_position: the position id of what follows; not ``length`` under M-RoPE.
        itemsize: bytes of one number.
    """

    values: tuple[tuple[Value, ...], ...]
    length: int
    lease: Lease | None
    parts: int
    next_position: int = 0
    itemsize: int = np.dtype(np.float32).itemsize

    @property
    def capacity(self) -> int | None:
        """Positions that fit into the buffers; ``None`` where each run makes new ones."""
        return None if self.lease is None else self.lease.buffers.capacity

    def fits(self, positions: int) -> bool:
        """Whether ``positions`` more can be written without larger buffers."""
        return self.capacity is None or self.length + positions <= self.capacity

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, unused positions included."""
        sizes = (math.prod(value.shape()) for part in self.values for value in part)
        return sum(sizes) * self.itemsize


@dataclass
class Prefix:
    """The cache of a prompt's beginning, which any number of passes continue.

    :meth:`carve_runtime.decoder.decoder.Decoder.lend` hands it to one pass after the other.

    Attributes:
        cache: the filled positions; nobody else continues it.
        states: (1, S, H), what the last part that ran has returned for them: it lets the upper
            half of the decoder follow later.
        positions: position ids of the filled positions.
        lent: whether a pass is writing behind it.
        lock: held while it changes.
    """

    cache: Cache
    states: Value
    positions: NDArray[np.int64]
    lent: bool = False
    lock: Lock = field(default_factory=Lock)

    @property
    def length(self) -> int:
        """Positions of the prefix."""
        return self.cache.length

    @property
    def next_position(self) -> int:
        """The position id of what follows."""
        return self.cache.next_position

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.cache.nbytes
