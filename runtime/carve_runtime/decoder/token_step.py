"""The step of one token, with every input and output in one place: what a device can record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_models.errors import BundleError, RunError
from carve_models.graph_spec import Tensor
from carve_runtime.backends.protocol import Array, BoundRun, Buffer, InPlace
from carve_runtime.prompt.chunk import PromptChunk

#: Between a recording and a run operator by operator, relative to the largest number: the same
#: kernels in half precision, so that a wrong address shows and a sum's order does not.
_SAME = 1e-2


class PartInPlace(NamedTuple):
    """A part of the decoder whose graph writes keys and values in place."""

    part: DecoderPart
    graph: InPlace


class TokenResults(NamedTuple):
    """(R, V) logits and (R, L, [H,] capacity) attention rows of R prompts, both float32."""

    logits: NDArray[np.float32]
    rows: NDArray[np.float32]


class TokenStep:
    """One position behind each prompt in a buffer. Whoever holds the buffers runs it, alone."""

    def __init__(
        self,
        parts: Sequence[PartInPlace],
        caches: Sequence[Sequence[Buffer]],
        sizes: tuple[int, int],
        dtype: np.dtype[Any],
    ) -> None:
        """Bind everything.

        Args:
            parts: of the decoder.
            caches: keys and values of each part.
            sizes: prompts side by side, and positions of each.
            dtype: of the bundle.
        """
        self._rows, self._capacity = sizes
        self._symbols = {names.BATCH: sizes[0], names.SEQUENCE: 1, names.TOTAL: sizes[1]}
        self._dtype = dtype
        self._buffers: dict[str, Buffer] = {}  # an output of one part is an input of the next
        self._taps: list[list[Buffer]] = []  # of each part
        self._runs: list[BoundRun] = []
        self._checked = False
        for (part, graph), cache in zip(parts, caches, strict=True):
            past = dict(zip(names.past_names(part.layers), cache, strict=True))
            present = dict(zip(names.present_names(part.layers), cache, strict=True))
            self._make(graph, [each for each in graph.spec.inputs if each.name not in past])
            inputs = past | self._buffers
            if part.tapped:
                self._buffers.pop(names.LAST_ROW, None)
            self._make(graph, [each for each in graph.spec.outputs if each.name not in present])
            outputs = present | self._buffers
            self._taps.append([outputs[names.LAST_ROW]] if part.tapped else [])
            self._runs.append(
                graph.bind(
                    {tensor.name: inputs[tensor.name] for tensor in graph.spec.inputs},
                    {tensor.name: outputs[tensor.name] for tensor in graph.spec.outputs},
                )
            )

    def run(self, chunks: Sequence[PromptChunk], lengths: Sequence[int]) -> TokenResults:
        """Run one position of each prompt, the last one of its length.

        Raises:
            RunError: the backend failed, or what it recorded computes something else.
        """
        mask = np.zeros((self._rows, self._capacity), np.int64)
        for row, length in zip(mask, lengths, strict=True):
            row[:length] = 1
        inputs: dict[str, Array] = {
            names.ATTENTION_MASK: mask,
            names.INPUTS_EMBEDS: np.concatenate([chunk.embeds for chunk in chunks]),
            names.POSITION_IDS: np.concatenate([chunk.positions for chunk in chunks], axis=-2),
        }
        added = [chunk.deepstack for chunk in chunks if chunk.deepstack is not None]
        if added:
            inputs[names.DEEPSTACK_EMBEDS] = np.concatenate(added)
        updates = {self._buffers[name]: array for name, array in inputs.items()}
        if not self._checked:
            self._check(updates)
        return self._execute(updates, replay=True)

    def _execute(self, updates: Mapping[Buffer, Array], *, replay: bool) -> TokenResults:
        """Run all parts; the first one takes the new inputs."""
        taps: list[Array] = []
        last = len(self._runs) - 1
        logits: list[Array] = []
        for index, (run, tap) in enumerate(zip(self._runs, self._taps, strict=True)):
            wanted = [self._buffers[names.LOGITS]] if index == last else []
            read = run(updates if index == 0 else {}, [*tap, *wanted], replay=replay)
            taps += read[: len(tap)]
            logits = read[len(tap) :]
        return TokenResults(logits[0][:, -1], np.concatenate(taps, axis=1))

    def _check(self, updates: Mapping[Buffer, Array]) -> None:
        """Compare the first replay with a run operator by operator."""
        if any(run.captures for run in self._runs):
            for eager, replayed in zip(
                self._execute(updates, replay=False),
                self._execute(updates, replay=True),
                strict=True,
            ):
                difference = float(np.abs(replayed - eager).max(initial=0))
                bound = _SAME * float(np.abs(eager).max(initial=0))
                if not difference <= bound:
                    raise RunError(
                        f"the CUDA graph of a token's step is off by {difference:.3g}, "
                        f"{bound:.3g} is allowed",
                        "load the bundle with cuda_graph=False, and report the GPU and its driver",
                    )
        self._checked = True

    def _make(self, graph: InPlace, tensors: Sequence[Tensor]) -> None:
        """Make the buffers that are not there yet."""
        for tensor in tensors:
            if tensor.name not in self._buffers:
                shape = [self._size(tensor, size) for size in tensor.shape]
                self._buffers[tensor.name] = graph.empty(shape, np.dtype(tensor.dtype))

    def _size(self, tensor: Tensor, size: int | str) -> int:
        known = size if isinstance(size, int) else self._symbols.get(size)
        if known is None:
            raise BundleError(
                f"the manifest gives {tensor.name} a size {size!r}, which no decoder has",
                "export the checkpoint again",
            )
        return known
