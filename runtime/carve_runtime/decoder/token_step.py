"""The step of one token, with every input and output in one place: what a device can record."""

from __future__ import annotations

from collections.abc import Sequence
from threading import local
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_models.errors import RunError
from carve_models.graph_spec import Tensor
from carve_runtime.backends.protocol import BoundRun, Buffer, InPlace
from carve_runtime.prompt.chunk import PromptChunk

#: Between a recording and a run operator by operator, relative to the largest number: the same
#: kernels in half precision, so that a wrong address shows and a sum's order does not.
_SAME = 1e-2


class PartInPlace(NamedTuple):
    """A part of the decoder whose graph writes keys and values in place."""

    part: DecoderPart
    graph: InPlace


class TokenResults(NamedTuple):
    """(V,) logits and (L, capacity) attention rows, both float32."""

    logits: NDArray[np.float32]
    rows: NDArray[np.float32]


class TokenStep:
    """One position behind a cache in place. Whoever holds the cache's buffers runs it, alone."""

    def __init__(
        self,
        parts: Sequence[PartInPlace],
        caches: Sequence[Sequence[Buffer]],
        capacity: int,
        dtype: np.dtype[Any],
    ) -> None:
        """Bind everything.

        Args:
            parts: of the decoder.
            caches: keys and values of each part.
            capacity: positions that they hold.
            dtype: of the bundle.
        """
        self._sizes = {names.BATCH: 1, names.SEQUENCE: 1, names.TOTAL: capacity}
        self._dtype = dtype
        self._buffers: dict[str, Buffer] = {}  # an output of one part is an input of the next
        self._rows: list[Buffer] = []
        self._runs: list[BoundRun] = []
        self._checked = local()  # what is recorded is recorded for each thread
        for (part, graph), cache in zip(parts, caches, strict=True):
            past = dict(zip(names.past_names(part.layers), cache, strict=True))
            present = dict(zip(names.present_names(part.layers), cache, strict=True))
            self._make(graph, [each for each in graph.spec.inputs if each.name not in past])
            inputs = past | self._buffers
            if part.tapped:
                self._buffers.pop(names.LAST_ROW, None)
            self._make(graph, [each for each in graph.spec.outputs if each.name not in present])
            outputs = present | self._buffers
            self._rows += [outputs[names.LAST_ROW]] if part.tapped else []
            self._runs.append(
                graph.bind(
                    {tensor.name: inputs[tensor.name] for tensor in graph.spec.inputs},
                    {tensor.name: outputs[tensor.name] for tensor in graph.spec.outputs},
                )
            )

    def run(self, chunk: PromptChunk, length: int) -> TokenResults:
        """Run one position, the last one of ``length``.

        Raises:
            RunError: the backend failed, or what it recorded computes something else.
        """
        mask = np.zeros((1, self._sizes[names.TOTAL]), np.int64)
        mask[:, :length] = 1
        self._buffers[names.INPUTS_EMBEDS].update_inplace(chunk.embeds)
        self._buffers[names.ATTENTION_MASK].update_inplace(mask)
        self._buffers[names.POSITION_IDS].update_inplace(chunk.positions)
        if chunk.deepstack is not None:
            self._buffers[names.DEEPSTACK_EMBEDS].update_inplace(chunk.deepstack)
        if not hasattr(self._checked, "done"):
            self._check()
        return self._execute(replay=True)

    def _execute(self, *, replay: bool) -> TokenResults:
        for run in self._runs:
            run(replay=replay)
        logits = np.array(self._buffers[names.LOGITS].numpy()[0, -1])
        rows = [buffer.numpy()[0] for buffer in self._rows]
        nothing = np.empty((0, self._sizes[names.TOTAL]), np.float32)
        return TokenResults(logits, np.concatenate([nothing, *rows]))

    def _check(self) -> None:
        """Compare the first replay with a run operator by operator."""
        if any(run.captures for run in self._runs):
            for eager, replayed in zip(
                self._execute(replay=False), self._execute(replay=True), strict=True
            ):
                difference = float(np.abs(replayed - eager).max(initial=0))
                bound = _SAME * float(np.abs(eager).max(initial=0))
                if not difference <= bound:
                    raise RunError(
                        f"the CUDA graph of a token's step is off by {difference:.3g}, "
                        f"{bound:.3g} is allowed",
                        "load the bundle with cuda_graph=False, and report the GPU and its driver",
                    )
        self._checked.done = True

    def _make(self, graph: InPlace, tensors: Sequence[Tensor]) -> None:
        """Make the buffers that are not there yet."""
        for tensor in tensors:
            if tensor.name not in self._buffers:
                shape = [self._sizes.get(str(size), size) for size in tensor.shape]
                self._buffers[tensor.name] = graph.empty(
                    [int(size) for size in shape], np.dtype(tensor.dtype)
                )
