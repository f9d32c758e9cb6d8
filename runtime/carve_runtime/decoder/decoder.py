"""Run the decoder, whole or in halves, over key/value buffers that stay where they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import Array, ArrayValue, BackendSettings, Value
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.buffers import BufferPool
from carve_runtime.decoder.cache import Cache, Prefix
from carve_runtime.decoder.token_step import PartInPlace
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts

_MEAN = 2  # axes of rows without heads


class Step(NamedTuple):
    """What one run of the decoder returns.

    Attributes:
        rows: (L, T) float32, attention of the last position to all, for the tapped layers that
            ran: the mean over heads, or (L, H, T) where the bundle has the heads.
        cache: the longer cache.
        states: logits (1, 1, V), or after the lower half alone hidden states (1, S, H).
    """

    rows: NDArray[np.float32]
    cache: Cache
    states: Value

    @property
    def attention(self) -> NDArray[np.float32]:
        """(L, T) float32, the mean over heads: what the method reads."""
        return self.rows if self.rows.ndim == _MEAN else self.rows.mean(axis=1)

    @property
    def logits(self) -> NDArray[np.float32]:
        """(V,) float32, of the last position, after a whole run."""
        array: NDArray[np.float32] = self.states.numpy()[0, -1]
        return array


class Decoder:
    """The decoder of a bundle. Threads may share it: all state is in the caches.

    Where GroupQueryAttention appends in place, past and present are the same buffers: in the
    profile ``ort``, with ONNX Runtime on a CPU, or on CUDA in half precision. The step of one token
    then finds all its inputs and outputs where they were. All others concatenate, which makes new
    buffers; they stay where they are, on a device too, and go into the next run as they are.
    """

    def __init__(self, bundle: Bundle, settings: BackendSettings, *, whole: bool = False) -> None:
        """Load the decoder's graphs; errors as in :func:`carve_runtime.backends.load_graph`.

        Args:
            bundle: the bundle.
            settings: who runs them.
            whole: load the decoder in one piece, even if there are halves.
        """
        spec = bundle.manifest.decoder
        self._parts = [
            (part, load_graph(bundle, part.name, settings))
            for part in ((spec.whole,) if whole else spec.parts)
        ]
        self._heads = (1, spec.key_value_heads)
        self._head_axes = spec.head_axes
        self._width = spec.head_dim
        self._dtype = np.dtype(bundle.manifest.dtype)
        in_place = [
            PartInPlace(part, graph.in_place)
            for part, graph in self._parts
            if graph.in_place is not None
        ]
        whole_in_place = len(in_place) == len(self._parts)
        self._pool = BufferPool(in_place, spec, self._dtype) if whole_in_place else None

    def empty(self, positions: int) -> Cache:
        """Return a cache of no positions that ``positions`` can be written to."""
        itemsize = self._dtype.itemsize
        if self._pool is not None:
            lease = self._pool.take(positions)
            return Cache(lease.buffers.values, 0, lease, len(self._parts), itemsize=itemsize)
        nothing = np.empty((*self._heads, 0, self._width), self._dtype)
        values = tuple(
            tuple(graph.value(nothing) for _ in names.past_names(part.layers))
            for part, graph in self._parts
        )
        return Cache(values, 0, None, len(self._parts), itemsize=itemsize)

    @property
    def lower(self) -> range:
        """The parts to run for an early exit: the lower half, or all where there are no halves."""
        return range(1)

    def step(
        self,
        chunk: PromptChunk,
        cache: Cache,
        counts: Counts,
        *,
        parts: range | None = None,
        to: Cache | None = None,
    ) -> Step:
        """Run a chunk of a prompt behind a cache.

        Args:
            chunk: the new positions; their hidden states in place of embeddings if the first part
                does not run.
            cache: what came before, from every part that is to run.
            counts: is added to.
            parts: of the decoder, in order; ``None`` runs all.
            to: where the longer cache is written, with what came before; the cache's own buffers
                if ``None``.
        """
        parts = range(len(self._parts)) if parts is None else parts
        total = cache.length + chunk.length
        counts.decoder_runs += 1
        counts.decoder_tokens += chunk.length if parts.start == 0 else 0
        counts.layer_tokens += chunk.length * sum(len(self._parts[i][0].layers) for i in parts)
        to = cache if to is None else to
        longer = replace(to, length=total, parts=parts.stop, next_position=chunk.next_position)
        whole = len(parts) == len(self._parts)
        if cache.lease is not None and to is cache and chunk.length == 1 and whole:
            logits, rows = cache.lease.buffers.token_step.run([chunk], [total])
            return Step(rows[0, ..., :total], longer, ArrayValue(logits[:, None]))
        mask = np.zeros((1, to.capacity or total), np.int64)
        mask[:, :total] = 1
        shared = {names.ATTENTION_MASK: mask, names.POSITION_IDS: chunk.positions}
        taps = [np.empty((0, *self._head_axes, total), np.float32)]
        values = list(cache.values)
        states = self._parts[parts.start][1].value(chunk.embeds)
        for index in parts:
            part, graph = self._parts[index]
            past = dict(zip(names.past_names(part.layers), values[index], strict=True))
            present = names.present_names(part.layers)
            into: dict[str, Value] = {}
            if to.lease is not None:
                into = dict(zip(present, to.values[index], strict=True))
                if not part.is_last:  # beyond the reach of whoever uses the graph next
                    in_place = to.lease.buffers.parts[index].graph
                    into[part.output_name] = in_place.empty(chunk.embeds.shape, self._dtype)
            feeds: dict[str, Array | Value] = {part.input_name: states, **shared, **past}
            if chunk.deepstack is not None and part.layers.start == 0:
                feeds[names.DEEPSTACK_EMBEDS] = chunk.deepstack
            keep = present if part.is_last else [part.output_name, *present]
            outputs = graph.run(feeds, into, keep)
            states = outputs[part.output_name]
            if part.tapped:
                taps.append(outputs[names.LAST_ROW].numpy()[0, ..., :total])
            if to.lease is None:  # else the buffers stay, and keep their memory alive
                values[index] = tuple(outputs[name] for name in present)
                counts.bytes_copied += cache.length * self._bytes_per_position(part)
        if to.lease is None:
            longer = replace(longer, values=tuple(values))
        return Step(np.concatenate(taps), longer, states)

    @property
    def runs_side_by_side(self) -> bool:
        """Whether prompts that go on together cost no more than one: on a device."""
        return self._pool is not None and self._pool.on_device

    def side_by_side(
        self, prefix: Prefix, chunks: Sequence[PromptChunk], positions: int, counts: Counts
    ) -> list[Step]:
        """Run chunks behind copies of one prefix, each in a row of common buffers.

        The prefix is only read: the operator that appends to it copies it, on the device.

        Args:
            prefix: what all continue.
            chunks: one for each row.
            positions: how many every row will write at most.
            counts: is added to.
        """
        assert self._pool is not None
        with prefix.lock:
            prefix.cache = cache = self._complete(prefix, counts)
        needed = max(cache.length + positions, cache.capacity or 0)
        lease = self._pool.take(needed, rows=len(chunks))
        counts.bytes_copied += len(chunks) * sum(
            cache.length * self._bytes_per_position(part) for part, _ in self._parts
        )
        return [
            self.step(chunk, cache, counts, to=replace(cache, values=values, lease=lease))
            for chunk, values in zip(
                chunks, map(lease.buffers.row, range(len(chunks))), strict=True
            )
        ]

    def step_side_by_side(
        self, chunks: Sequence[PromptChunk], caches: Sequence[Cache], counts: Counts
    ) -> list[Step]:
        """Run one position behind each row of common buffers."""
        lease = caches[0].lease
        assert lease is not None
        lengths = [cache.length + 1 for cache in caches]
        counts.decoder_runs += 1
        counts.decoder_tokens += len(chunks)
        counts.layer_tokens += len(chunks) * sum(len(part.layers) for part, _ in self._parts)
        logits, rows = lease.buffers.token_step.run(chunks, lengths)
        return [
            Step(
                rows[index, ..., :length],
                replace(cache, length=length, next_position=chunk.next_position),
                ArrayValue(logits[index][None, None]),
            )
            for index, (chunk, cache, length) in enumerate(
                zip(chunks, caches, lengths, strict=True)
            )
        ]

    @contextmanager
    def lend(
        self, prefix: Prefix, positions: int, counts: Counts, *, lower: bool = False
    ) -> Iterator[Cache]:
        """Yield a prefix to one pass, which writes behind it.

        Passes write one after the other into the same buffers. A pass that begins while another one
        runs gets a copy. What the upper half lacks of the prefix is filled when it is first needed.

        Args:
            prefix: what the pass continues; it stays as it is.
            positions: how many the pass will write.
            counts: is added to.
            lower: the pass needs the lower half of the decoder only.
        """
        with prefix.lock:
            if not lower:
                prefix.cache = self._complete(prefix, counts)
            cache, owner = prefix.cache, False
            if cache.capacity is not None:
                owner = not prefix.lent
                if not owner or not cache.fits(positions):
                    cache = self._copy(cache, cache.length + positions, counts)
                if owner:
                    prefix.cache, prefix.lent = cache, True
        try:
            yield cache
        finally:
            if owner:
                prefix.lent = False

    def _copy(self, cache: Cache, positions: int, counts: Counts) -> Cache:
        """Return the filled positions of a cache in new buffers that hold ``positions``."""
        larger = self.empty(positions)
        assert larger.lease is not None  # what concatenates is never copied
        buffers = larger.lease.buffers
        for old, new, (_, graph) in zip(
            cache.values[: cache.parts], buffers.values, buffers.parts, strict=False
        ):
            for source, target in zip(old, new, strict=True):
                filled = source.numpy()[:, :, : cache.length]
                graph.fill(target, filled)
                counts.bytes_copied += filled.nbytes
        return replace(cache, values=larger.values, lease=larger.lease)

    def _complete(self, prefix: Prefix, counts: Counts) -> Cache:
        """Return a prefix's cache with every part of the decoder filled."""
        missing = range(prefix.cache.parts, len(self._parts))
        if not missing:
            return prefix.cache
        chunk = PromptChunk(prefix.states.numpy(), prefix.positions, prefix.next_position)
        return self.step(chunk, replace(prefix.cache, length=0), counts, parts=missing).cache

    def _bytes_per_position(self, part: DecoderPart) -> int:
        floats = len(names.past_names(part.layers)) * math.prod(self._heads) * self._width
        return floats * self._dtype.itemsize
