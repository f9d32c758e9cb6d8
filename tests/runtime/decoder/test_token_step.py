"""One token at fixed addresses: what a longer chunk computes, and never a wrong recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from carve_models import names
from carve_models.graph_spec import GraphSpec
from carve_runtime import Carve, RunError
from carve_runtime.backends import ort
from carve_runtime.backends.protocol import BackendSettings, BoundRun, Buffer, InPlace, Value
from carve_runtime.bundle import open_bundle
from carve_runtime.decoder.buffers import BufferPool
from carve_runtime.decoder.cache import Cache
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.decoder.token_step import PartInPlace
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts
from tests.backends import take_the_cpu_for_a_device
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.decoding import assert_equal, embeddings, run, run_step
from tests.support import POCKET, SCENES

ONE_THREAD = BackendSettings(threads=1)
LENGTH = 12
#: Relative to the scale.
EQUAL = {"float32": 1e-5, "float16": 1e-2}
CASES = [
    ("pocket", "float32"),  # both of its halves have tapped layers
    ("llava-clip-gqa", "float32"),
    ("llava-clip-gqa", "float16"),
    ("qwen2_5_vl", "float32"),
    ("qwen3_vl", "float32"),
]


def chunks(decoder: Decoder, start: Cache, embeds: Any, width: int, extra: Any) -> list[Step]:
    """Run ``width`` positions at a time; ``extra``: axes of the position ids, and DeepStack."""
    steps, cache, (axes, deepstack) = [], start, extra
    for first in range(0, LENGTH, width):
        positions = np.arange(first, first + width)
        chunk = PromptChunk(
            embeds[:, first : first + width],
            np.broadcast_to(positions, (*axes, 1, width)).copy(),
            first + width,
            None if deepstack is None else deepstack[:, :, first : first + width],
        )
        steps.append(decoder.step(chunk, cache, Counts()))
        cache = steps[-1].cache
    return steps


@pytest.mark.parametrize(("case", "dtype"), CASES)
def test_one_at_a_time_equals_three(
    case: str, dtype: str, export_of: ExportOf, half_of: ExportOf
) -> None:
    exports = {"float32": export_of, "float16": half_of}
    bundle = open_bundle(POCKET if case == "pocket" else exports[dtype](case, "ort").folder)
    spec, decoder = bundle.manifest.decoder, Decoder(bundle, ONE_THREAD)
    embeds = embeddings(spec.hidden_size, length=LENGTH).astype(dtype)
    deepstack = None
    if layers := spec.deepstack_layers:
        shape = (1, layers, LENGTH, spec.hidden_size)
        deepstack = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    extra = (spec.position_axes, deepstack)
    ones = chunks(decoder, decoder.empty(LENGTH), embeds, 1, extra)
    threes = chunks(decoder, decoder.empty(LENGTH), embeds, 3, extra)
    for one, three in zip(ones[2::3], threes, strict=True):
        assert_equal(one, three, EQUAL[dtype])


class Recorded(InPlace):
    """A graph on the CPU whose recorded runs put ``error`` into every logit."""

    def __init__(self, graph: ort.OrtGraph, error: float) -> None:
        self.graph, self.error = graph, error

    @property
    def spec(self) -> GraphSpec:
        return self.graph.spec

    @property
    def on_device(self) -> bool:
        return True

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Buffer:
        return self.graph.empty(shape, dtype)

    def zeros(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Buffer:
        return self.graph.zeros(shape, dtype)

    def row(self, buffer: Buffer, index: int) -> Value:
        return self.graph.row(buffer, index)

    def fill(self, buffer: Buffer, keys_or_values: Any) -> None:
        self.graph.fill(buffer, keys_or_values)

    def bind(self, feeds: Mapping[str, Value], into: Mapping[str, Value]) -> BoundRun:
        run, logits, error = self.graph.bind(feeds, into), into.get(names.LOGITS), self.error

        class Run(BoundRun):
            captures = True

            def __call__(
                self,
                updates: Mapping[Buffer, Any],
                reads: Sequence[Buffer],
                *,
                replay: bool = True,
            ) -> list[Any]:
                read = run(updates, reads)
                if replay and logits is not None:
                    read[-1] += error
                return read

        return Run()


@pytest.mark.parametrize(("error", "refused"), [(0.0, False), (1e-5, False), (10.0, True)])
def test_a_recording_is_compared_before_it_is_used(error: float, refused: bool) -> None:
    bundle = open_bundle(POCKET)
    spec, dtype = bundle.manifest.decoder, np.dtype(np.float32)
    parts = [
        PartInPlace(part, Recorded(ort.OrtGraph(bundle, part.name, ONE_THREAD), error))
        for part in spec.parts
    ]
    lease = BufferPool(parts, spec, dtype).take(LENGTH)
    embeds = embeddings(spec.hidden_size, length=1)
    chunk = PromptChunk(embeds, np.zeros((1, 1), np.int64), 1)
    if refused:
        with pytest.raises(RunError, match=r"CUDA graph .* is off by 10, .*cuda_graph=False"):
            lease.buffers.token_step.run([chunk], [1])
        return
    decoder = Decoder(bundle, ONE_THREAD)
    expected = run_step(decoder, embeds, decoder.empty(LENGTH), Counts())
    actual = lease.buffers.token_step.run([chunk], [1])
    assert_close(actual.logits[0], expected.logits + error, atol=1e-6)


def test_results_outlive_the_next_token() -> None:
    bundle = open_bundle(POCKET)
    decoder, width = Decoder(bundle, ONE_THREAD), bundle.manifest.decoder.hidden_size
    embeds = embeddings(width, length=LENGTH)
    steps = run(decoder, embeds, range(1, LENGTH + 1), decoder.empty(LENGTH))
    copies = [(step.logits.copy(), step.attention.copy()) for step in steps[:-1]]
    again = run(decoder, embeds, range(1, LENGTH), decoder.empty(LENGTH))
    for step, (logits, attention) in zip(again, copies, strict=True):
        assert_close(step.logits, logits)
        assert_close(step.attention, attention)


def test_recorded_runs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU records nothing, but its runs can be made to take the way of a device's."""
    take_the_cpu_for_a_device(monkeypatch, capture={"any": "option"})
    carve = Carve.load(POCKET, threads=1)
    image, question = SCENES / "scene-00.jpg", "What letter is on the blue triangle?"
    expected = Carve.load(POCKET, threads=1, cuda_graph=False).ask(image, question)
    actual = carve.ask(image, question)
    assert actual.token_ids == expected.token_ids
    assert_close(actual.question_attention, expected.question_attention)
