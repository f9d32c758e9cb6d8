"""Every backend keeps one protocol: it computes what ONNX Runtime's CPU provider does, anywhere."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.precision.agreement import mask_overlap
from carve_models import names
from carve_models.manifest import DecoderSpec
from carve_runtime import Carve, CarveResult, EngineError, RunError
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import BackendSettings, GraphRunner
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.decoder.cache import Cache, Prefix
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.usage import Counts
from tests.backends import backends, session
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.decoding import assert_equal, embeddings, run, run_step
from tests.support import POCKET, SCENES

ENTRIES = json.loads((SCENES / "questions.json").read_text())
LENGTH = 90
CUTS = (40, 41, 77, LENGTH)
REST = 20
EQUAL = 1e-4  # relative to the scale
OVERLAP = 0.99


@pytest.fixture(scope="module")
def bundle(pocket_portable: Path) -> Bundle:
    return open_bundle(pocket_portable)


@pytest.fixture(scope="module")
def spec(bundle: Bundle) -> DecoderSpec:
    return bundle.manifest.decoder


@pytest.fixture(scope="module", params=backends())
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def settings(backend: str, pocket_portable: Path) -> BackendSettings:
    return session(backend, pocket_portable)


@pytest.fixture(scope="module")
def decoder(bundle: Bundle, settings: BackendSettings) -> Decoder:
    return Decoder(bundle, settings)


@pytest.fixture(scope="module")
def vision(bundle: Bundle, settings: BackendSettings) -> GraphRunner:
    return load_graph(bundle, names.VISION_ENCODER, settings)


@pytest.mark.parametrize("stops", [(LENGTH,), CUTS])
def test_the_decoder(
    bundle: Bundle, decoder: Decoder, spec: DecoderSpec, stops: tuple[int, ...]
) -> None:
    embeds = embeddings(spec.hidden_size)
    reference = Decoder(bundle, BackendSettings(threads=1), whole=True)
    wanted = run(reference, embeds, stops, reference.empty(LENGTH))
    for found, expected in zip(
        run(decoder, embeds, stops, decoder.empty(LENGTH)), wanted, strict=True
    ):
        assert_equal(found, expected, EQUAL)


def prefill(decoder: Decoder, spec: DecoderSpec) -> Step:
    embeds = embeddings(spec.hidden_size, length=LENGTH)
    return run(decoder, embeds, [LENGTH], decoder.empty(LENGTH))[0]


def test_an_older_cache_rewinds(decoder: Decoder, spec: DecoderSpec) -> None:
    prefix = prefill(decoder, spec).cache
    one, other = (embeddings(spec.hidden_size, seed, REST) for seed in (1, 2))
    first = run_step(decoder, one, prefix, Counts())
    logits, attention = first.logits.copy(), first.attention.copy()
    kept = cache_arrays(first.cache)
    run_step(decoder, other, prefix, Counts())
    again = run_step(decoder, one, prefix, Counts())
    assert_close(again.logits, logits)
    assert_close(again.attention, attention)
    for before, after in zip(kept, cache_arrays(first.cache), strict=True):
        assert_close(before, after)


def cache_arrays(cache: Cache) -> list[Any]:
    return [value.numpy().copy() for part in cache.values for value in part]


def test_the_upper_half_follows_later(decoder: Decoder, spec: DecoderSpec) -> None:
    embeds, rest = embeddings(spec.hidden_size), embeddings(spec.hidden_size, 1, REST)
    whole = prefill(decoder, spec)
    wanted = run_step(decoder, rest, whole.cache, Counts())
    lower = run_step(decoder, embeds, decoder.empty(LENGTH), Counts(), lower=True)
    prefix = Prefix(lower.cache, lower.states, np.arange(LENGTH)[None])
    with decoder.lend(prefix, REST, Counts()) as cache:
        assert_equal(run_step(decoder, rest, cache, Counts()), wanted, EQUAL)


def pixels(bundle: Bundle, seed: int = 0) -> Any:
    shape = bundle.manifest.graphs[names.VISION_ENCODER].inputs[0].shape
    sizes = [size if isinstance(size, int) else 1 for size in shape]
    return np.random.default_rng(seed).random(sizes, np.float32)


def test_a_run_keeps_no_state(vision: GraphRunner, bundle: Bundle) -> None:
    """Earlier outputs stay as they are, and threads may share a graph."""
    images = [pixels(bundle, seed) for seed in range(8)]

    def features(image: Any) -> Any:
        return vision.run({names.PIXEL_VALUES: image})[names.IMAGE_FEATURES].numpy()

    alone = [features(image) for image in images]
    copies = [array.copy() for array in alone]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(features, images))
    for first, copy, other in zip(alone, copies, together, strict=True):
        assert_close(first, copy)
        assert_close(other, copy, atol=EQUAL)


def test_values_go_from_run_to_run(vision: GraphRunner, bundle: Bundle) -> None:
    image = pixels(bundle)
    value = vision.value(image)
    assert tuple(value.shape()) == image.shape
    assert_close(value.numpy(), image)
    assert vision.value(value) is value
    kept = vision.run({names.PIXEL_VALUES: value}, keep=[names.IMAGE_FEATURES])
    plain = vision.run({names.PIXEL_VALUES: image})
    for outputs in (kept, plain):
        features = outputs[names.IMAGE_FEATURES]
        assert tuple(features.shape()) == features.numpy().shape
    one, other = (outputs[names.IMAGE_FEATURES].numpy() for outputs in (kept, plain))
    assert_close(one, other)


def test_inputs_that_do_not_fit(vision: GraphRunner, bundle: Bundle) -> None:
    """A typed error, and the graph works on."""
    good = pixels(bundle)
    for bad in (good[:, :2], good[..., :-1], good.astype(np.float64)):
        with pytest.raises((RunError, EngineError), match=r"(vision_encoder|pixel_values).*\. "):
            vision.run({names.PIXEL_VALUES: bad})
    assert names.IMAGE_FEATURES in vision.run({names.PIXEL_VALUES: good})


@pytest.fixture(scope="module")
def answers(pocket: Carve) -> list[CarveResult]:
    return [pocket.ask(SCENES / entry["image"], entry["question"]) for entry in ENTRIES]


def test_answers_and_masks(
    settings: BackendSettings, bundle: Bundle, answers: list[CarveResult]
) -> None:
    vlm = Carve(bundle, settings)
    for entry, wanted in zip(ENTRIES, answers, strict=True):
        found = vlm.ask(SCENES / entry["image"], entry["question"])
        assert (found.plain_answer, found.answer) == (wanted.plain_answer, wanted.answer)
        assert mask_overlap(found.mask, wanted.mask) >= OVERLAP


@pytest.mark.parametrize(
    "backend", backends()[1:-1], indirect=True
)  # TensorRT has no such operator
def test_the_profile_ort_elsewhere(settings: BackendSettings, answers: list[CarveResult]) -> None:
    """Fused attention too, where it is known: the default bundle answers the same."""
    image, question = SCENES / ENTRIES[0]["image"], ENTRIES[0]["question"]
    found, wanted = Carve(open_bundle(POCKET), settings).ask(image, question), answers[0]
    assert (found.plain_answer, found.answer) == (wanted.plain_answer, wanted.answer)
    assert mask_overlap(found.mask, wanted.mask) >= OVERLAP


def test_another_family(backend: str, export_of: ExportOf) -> None:
    """Any resolution, windows, M-RoPE: the default runtime's answers and masks here too."""
    bundle = open_bundle(export_of("qwen2_5_vl", "portable").folder)
    vlm, usual = Carve(bundle, session(backend, bundle.folder)), Carve(bundle, BackendSettings())
    for entry in ENTRIES[::8]:
        image, question = SCENES / entry["image"], entry["question"]
        found, wanted = vlm.ask(image, question), usual.ask(image, question)
        assert (found.plain_answer, found.answer) == (wanted.plain_answer, wanted.answer)
        assert mask_overlap(found.mask, wanted.mask) >= OVERLAP
