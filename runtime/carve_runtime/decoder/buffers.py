"""Buffers for keys and values that stay where they are, lent to one cache after the other."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from carve_models import names
from carve_models.manifest import DecoderSpec
from carve_runtime.backends.protocol import Buffer, Value
from carve_runtime.decoder.token_step import PartInPlace, TokenStep

#: Buffers hold a multiple of this many positions: questions of like length share one.
_BLOCK = 64
#: The same on a device, where buffers are used again and should fit the next image too.
_DEVICE_BLOCK = 256
#: Buffers of one kind that a device keeps: for the next picture and what will be cut out of it.
_MOST_IDLE = 2
#: Idle buffers of so many times the positions that are needed are too large: a cache counts all.
_MOST_ROOM = 2


@dataclass(frozen=True, eq=False)
class Buffers:
    """Room for the keys and values of one prompt, or of several side by side.

    Attributes:
        parts: the decoder's.
        values: (rows, Kv, capacity, D) of each part of the decoder, in graph order.
        rows: how many prompts.
        capacity: positions that fit into each row.
        dtype: of the bundle.
    """

    parts: tuple[PartInPlace, ...]
    values: tuple[tuple[Buffer, ...], ...]
    rows: int
    capacity: int
    dtype: np.dtype[Any]

    def row(self, index: int) -> tuple[tuple[Value, ...], ...]:
        """Return one row of every buffer, (1, Kv, capacity, D)."""
        return tuple(
            tuple(graph.row(buffer, index) for buffer in held)
            for (_, graph), held in zip(self.parts, self.values, strict=True)
        )

    @cached_property
    def token_step(self) -> TokenStep:
        """The step of one token in each row."""
        return TokenStep(self.parts, self.values, (self.rows, self.capacity), self.dtype)


class Lease:
    """Buffers, until the last cache that holds this object is gone."""

    def __init__(self, buffers: Buffers) -> None:
        """Hold them."""
        self.buffers = buffers


class BufferPool:
    """Makes buffers; on a device it keeps those that nobody uses any more. Thread-safe."""

    def __init__(
        self, parts: Sequence[PartInPlace], spec: DecoderSpec, dtype: np.dtype[Any]
    ) -> None:
        """Start empty.

        Args:
            parts: the parts of the decoder.
            spec: the decoder.
            dtype: of the bundle.
        """
        self._parts, self._spec, self._dtype = tuple(parts), spec, dtype
        #: Whether they lie in a device's memory.
        self.on_device = all(graph.on_device for _, graph in parts)
        self._idle: list[Buffers] = []
        self._returned: deque[Buffers] = deque()
        self._lock = Lock()

    def take(self, positions: int, rows: int = 1) -> Lease:
        """Return buffers that hold ``positions`` in each row; what they hold is of no use."""
        capacity = self._capacity(positions)
        with self._lock:
            self._keep_returned()
            fitting = [
                idle
                for idle in self._idle
                if idle.rows == rows and capacity <= idle.capacity <= _MOST_ROOM * capacity
            ]
            buffers = min(fitting, key=lambda idle: idle.capacity, default=None)
            if buffers is not None:
                self._idle.remove(buffers)
        lease = Lease(buffers or self._make(capacity, rows))
        if self.on_device:
            weakref.finalize(lease, self._give, lease.buffers).atexit = False
        return lease

    def _capacity(self, positions: int) -> int:
        block = _DEVICE_BLOCK if self.on_device else _BLOCK
        return math.ceil(positions / block) * block

    def _make(self, capacity: int, rows: int) -> Buffers:
        shape = (rows, self._spec.key_value_heads, capacity, self._spec.head_dim)
        values = tuple(
            tuple(graph.zeros(shape, self._dtype) for _ in names.past_names(part.layers))
            for part, graph in self._parts
        )
        return Buffers(self._parts, values, rows, capacity, self._dtype)

    def _give(self, buffers: Buffers) -> None:
        """Take buffers back.

        The garbage collector calls this, in any thread and perhaps in one that holds the lock: it
        must not wait for it.
        """
        self._returned.append(buffers)
        if self._lock.acquire(blocking=False):
            try:
                self._keep_returned()
            finally:
                self._lock.release()

    def _keep_returned(self) -> None:
        """Keep what came back, of each number of rows the last ones."""
        while self._returned:
            buffers = self._returned.popleft()
            self._idle.insert(0, buffers)
            alike = [idle for idle in self._idle if idle.rows == buffers.rows]
            for surplus in alike[_MOST_IDLE:]:
                self._idle.remove(surplus)
