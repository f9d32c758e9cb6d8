"""On CUDA in half precision: caches stay on the device, and the step of a token is replayed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from carve_export import ExportReport
from carve_export.precision.agreement import mask_overlap
from carve_models.manifest import DecoderSpec
from carve_runtime import Carve, CarveResult
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.decoder.decoder import Decoder
from tests.comparing import assert_close
from tests.conftest import Once
from tests.decoding import assert_equal, embeddings, run
from tests.support import POCKET, SCENES

pytestmark = pytest.mark.gpu

ENTRIES = json.loads((SCENES / "questions.json").read_text())
LENGTH = 90
EQUAL = 1e-2  # relative to the scale, in float16
OVERLAP = 0.95
THREADS = 4


@pytest.fixture(scope="module")
def bundle(once: Once[ExportReport], one_thread: None) -> Bundle:
    from carve_export import ExportOptions, export_bundle

    layers = open_bundle(POCKET).manifest.decoder.tapped_layers
    settings = json.loads((POCKET / "settings.json").read_bytes())
    options = ExportOptions(dtype="float16", layers=layers, **settings)
    checkpoint = str(POCKET / "checkpoint")
    report = once("bundles/pocket-half", lambda out: export_bundle(checkpoint, out, options))
    return open_bundle(report.folder)


@pytest.fixture(scope="module")
def spec(bundle: Bundle) -> DecoderSpec:
    return bundle.manifest.decoder


@pytest.fixture(scope="module")
def on_cpu(bundle: Bundle) -> Carve:
    return Carve(bundle, BackendSettings(threads=1))


@pytest.fixture(scope="module", params=[True, False], ids=["replayed", "eager"])
def on_cuda(bundle: Bundle, request: pytest.FixtureRequest) -> Carve:
    return Carve(bundle, BackendSettings(provider="cuda", cuda_graph=request.param))


def test_tokens_are_those_of_the_cpu(bundle: Bundle, spec: DecoderSpec) -> None:
    embeds = embeddings(spec.hidden_size).astype(np.float16)
    stops = [60, *range(61, LENGTH + 1)]
    settings = [
        BackendSettings(threads=1),
        BackendSettings(provider="cuda", cuda_graph=False),
        BackendSettings(provider="cuda"),
    ]
    decoders = [Decoder(bundle, each) for each in settings]
    cpu, eager, replayed = (
        run(decoder, embeds, stops, decoder.empty(LENGTH)) for decoder in decoders
    )
    for expected, step, again in zip(cpu, eager, replayed, strict=True):
        assert_equal(step, expected, EQUAL)
        assert_close(again.logits, step.logits)  # the same kernels
        assert_close(again.attention, step.attention)


def test_nothing_reads_what_was_not_written(bundle: Bundle, spec: DecoderSpec) -> None:
    decoder = Decoder(bundle, BackendSettings(provider="cuda"))
    embeds = embeddings(spec.hidden_size).astype(np.float16)
    stops = [60, 61, 62, LENGTH]
    cache = decoder.empty(LENGTH)
    expected = run(decoder, embeds, stops, cache)
    for part in cache.values:
        for value in part:
            value.update_inplace(np.full(tuple(value.shape()), 100, np.float16))  # type: ignore[attr-defined]
    for actual, step in zip(run(decoder, embeds, stops, cache), expected, strict=True):
        assert_close(actual.logits, step.logits)
        assert_close(actual.attention, step.attention)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["question"])
def test_answers_and_boxes(entry: dict[str, str], on_cpu: Carve, on_cuda: Carve) -> None:
    expected, actual = (
        carve.ask(SCENES / entry["image"], entry["question"]) for carve in (on_cpu, on_cuda)
    )
    assert actual.answer == expected.answer
    assert mask_overlap(actual.mask, expected.mask) >= OVERLAP


def test_threads_do_not_disturb_each_other(bundle: Bundle) -> None:
    carve = Carve(bundle, BackendSettings(provider="cuda"), image_cache_bytes=0)

    def ask(entry: dict[str, str]) -> CarveResult:
        return carve.ask(SCENES / entry["image"], entry["question"])

    alone = [ask(entry) for entry in ENTRIES]
    with ThreadPoolExecutor(THREADS) as threads:
        together = list(threads.map(ask, ENTRIES))
    for actual, expected in zip(together, alone, strict=True):
        assert actual.token_ids == expected.token_ids
        assert_close(actual.question_attention, expected.question_attention)


def test_the_next_image_takes_the_same_buffers(bundle: Bundle) -> None:
    carve = Carve(bundle, BackendSettings(provider="cuda"), image_cache_bytes=0)
    entry = ENTRIES[0]
    first = carve.ask(Path(SCENES / entry["image"]), entry["question"])
    pool = carve._model.decoder._pool
    assert pool is not None
    idle = {id(buffers) for buffers in pool._idle}
    assert idle
    again = carve.ask(Path(SCENES / entry["image"]), entry["question"])
    assert {id(buffers) for buffers in pool._idle} == idle
    assert again.token_ids == first.token_ids
    assert_close(again.saliency, first.saliency)
