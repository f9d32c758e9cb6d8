"""Run the decoder, whole or in halves, over key/value buffers that stay where they are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import Array, BackendSettings, Value
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.cache import Cache, Counts
from carve_runtime.prompt.chunk import PromptChunk

#: Buffers have room for a multiple of so many positions: questions of like length share one.
_BLOCK = 64


class Step(NamedTuple):
    """What one run of the decoder returns.

    Attributes:
        attention: (L, T) float32, of the last position to all, for the tapped layers that ran.
        cache: the longer cache.
        states: logits (1, 1, V), or after the lower half alone hidden states (1, S, H).
    """

    attention: NDArray[np.float32]
    cache: Cache
    states: Value

    @property
    def logits(self) -> NDArray[np.float32]:
        """(V,) float32, of the last position, after a whole run."""
        array: NDArray[np.float32] = self.states.numpy()[0, -1]
        return array


class Decoder:
    """The decoder of a bundle. Threads may share it: all state is in the cache.

    In the profile ``ort``, with ONNX Runtime on a CPU, past and present are the same buffers: its
    GroupQueryAttention appends in place. All others concatenate, which makes new buffers; they stay
    where they are, on a device too, and go into the next run as they are.
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
        can_share = all(graph.in_place for _, graph in self._parts)
        self._in_place = bundle.manifest.profile == "ort" and can_share
        self._heads = (1, spec.key_value_heads)
        self._width = spec.head_dim

    def empty(self, room: int) -> Cache:
        """Return a cache of no positions, with room for ``room``."""
        capacity = math.ceil(room / _BLOCK) * _BLOCK if self._in_place else None
        shape = (*self._heads, capacity or 0, self._width)
        # Not zeroed: what is not written takes no memory, and nothing reads it unmasked.
        values = tuple(
            tuple(graph.value(np.empty(shape, np.float32)) for _ in names.past_names(part.layers))
            for part, graph in self._parts
        )
        return Cache(values, 0, capacity, len(self._parts))

    def copy(self, cache: Cache, room: int, counts: Counts) -> Cache:
        """Return the filled positions of a cache in buffers of their own with room for ``room``."""
        larger = self.empty(room)
        for old, new in zip(cache.values[: cache.parts], larger.values, strict=False):
            for source, target in zip(old, new, strict=True):
                filled = source.numpy()[:, :, : cache.length]
                target.numpy()[:, :, : cache.length] = filled
                counts.bytes_copied += filled.nbytes
        return replace(cache, values=larger.values, capacity=larger.capacity)

    def step(
        self, stretch: PromptChunk, cache: Cache, counts: Counts, *, lower: bool = False
    ) -> Step:
        """Run a stretch of a prompt behind a cache.

        Args:
            stretch: the new positions.
            cache: what came before, from every part that is to run.
            counts: is added to.
            lower: stop after the lower half.
        """
        counts.decoder_tokens += stretch.length
        parts = range(1 if lower else len(self._parts))
        step = self._run(parts, stretch.embeds, stretch.positions, cache, counts, stretch.deepstack)
        return step._replace(cache=replace(step.cache, next_position=stretch.next_position))

    def complete(
        self, cache: Cache, states: Value, positions: NDArray[np.int64], counts: Counts
    ) -> Cache:
        """Fill what the upper half lacks.

        Args:
            cache: filled by the lower half alone, from position 0 on; another one is returned
                as it is.
            states: (1, length, H), what the lower half returned.
            positions: position ids of the filled positions.
            counts: is added to.
        """
        missing = range(cache.parts, len(self._parts))
        if not missing:
            return cache
        start = replace(cache, length=0)
        return self._run(missing, states, positions, start, counts).cache

    def _run(
        self,
        parts: range,
        states: Array | Value,
        positions: NDArray[np.int64],
        cache: Cache,
        counts: Counts,
        deepstack: NDArray[np.float32] | None = None,
    ) -> Step:
        new = positions.shape[-1]
        total = cache.length + new
        mask = np.zeros((1, cache.capacity or total), np.int64)
        mask[:, :total] = 1
        shared = {names.ATTENTION_MASK: mask, names.POSITION_IDS: positions}
        counts.decoder_runs += 1
        rows, values = [], list(cache.values)
        handed_on = self._parts[parts.start][1].value(states)
        for index in parts:
            part, graph = self._parts[index]
            past = dict(zip(names.past_names(part.layers), values[index], strict=True))
            present = names.present_names(part.layers)
            into = dict(zip(present, values[index], strict=True)) if self._in_place else {}
            feeds: dict[str, Array | Value] = {part.input_name: handed_on, **shared, **past}
            if deepstack is not None and part.layers.start == 0:
                feeds[names.DEEPSTACK_EMBEDS] = deepstack
            keep = present if part.is_last else [part.output_name, *present]
            outputs = graph.run(feeds, into, keep)
            handed_on = outputs[part.output_name]
            if part.tapped:
                rows.append(outputs[names.LAST_ROW].numpy()[0, :, :total])
            counts.layer_tokens += new * len(part.layers)
            if not self._in_place:  # else the buffers stay, and keep their memory alive
                values[index] = tuple(outputs[name] for name in present)
                counts.bytes_copied += cache.length * self._bytes_per_position(part)
        attention = np.concatenate(rows) if rows else np.empty((0, total), np.float32)
        longer = replace(cache, values=tuple(values), length=total, parts=parts.stop)
        return Step(attention, longer, handed_on)

    def _bytes_per_position(self, part: DecoderPart) -> int:
        floats = len(names.past_names(part.layers)) * math.prod(self._heads) * self._width
        return floats * np.dtype(np.float32).itemsize
