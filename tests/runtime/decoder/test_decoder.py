"""Buffers that stay where they are: chunks, rewinding, lending, halves, and what it all costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_models.manifest import DecoderSpec, Profile
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.decoder.cache import Prefix
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.usage import Counts
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.decoding import assert_equal, embeddings, run, run_step
from tests.support import POCKET, PROFILES

ONE_THREAD = BackendSettings(threads=1)
CASE = "llava-clip-gqa"
LENGTH = 90
POSITIONS = np.arange(LENGTH)[None]
EQUAL = 1e-5  # relative to the scale, as for the parity with PyTorch


@pytest.fixture(scope="module")
def bundles(export_of: ExportOf) -> dict[Profile, Bundle]:
    return {profile: open_bundle(export_of(CASE, profile).folder) for profile in PROFILES}


@pytest.fixture(scope="module")
def halves() -> Decoder:
    return Decoder(open_bundle(POCKET), ONE_THREAD)


@pytest.fixture(scope="module")
def spec() -> DecoderSpec:
    return open_bundle(POCKET).manifest.decoder


@settings(deadline=None, max_examples=20)
@given(
    cuts=st.sets(st.integers(1, LENGTH - 1), max_size=6),
    spare=st.integers(0, 200),
)
def test_any_chunks_in_any_room_equal_one_shot(
    halves: Decoder, spec: DecoderSpec, cuts: set[int], spare: int
) -> None:
    embeds = embeddings(spec.hidden_size)
    (expected,) = run(halves, embeds, [LENGTH], halves.empty(LENGTH))
    cache = halves.empty(LENGTH + spare)
    for part in cache.values:
        for value in part:
            value.numpy()[...] = np.nan  # nothing may read what was not written
    last = run(halves, embeds, [*sorted(cuts), LENGTH], cache)[-1]
    assert last.attention.shape == (len(spec.tapped_layers), LENGTH)
    assert_equal(last, expected)


def test_buffers_stay_where_they_are(halves: Decoder, spec: DecoderSpec) -> None:
    cache = halves.empty(LENGTH)
    steps = run(halves, embeddings(spec.hidden_size), [40, 41, LENGTH], cache)
    for step in steps:
        assert step.cache.values == cache.values
        assert step.cache.capacity == cache.capacity


@pytest.mark.parametrize("profile", PROFILES)
def test_an_older_cache_rewinds(profile: Profile, bundles: dict[Profile, Bundle]) -> None:
    decoder = Decoder(bundles[profile], ONE_THREAD)
    width = bundles[profile].manifest.decoder.hidden_size
    prefix = run_step(decoder, embeddings(width), decoder.empty(3 * LENGTH), Counts()).cache
    left, right = embeddings(width, 1, 20), embeddings(width, 2, 33)
    first = run_step(decoder, left, prefix, Counts())
    logits, attention = first.logits.copy(), first.attention.copy()
    run_step(decoder, right, prefix, Counts())
    again = run_step(decoder, left, prefix, Counts())
    assert_close(again.logits, logits)
    assert_close(again.attention, attention)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_prefix_serves_passes_that_overlap(
    profile: Profile, bundles: dict[Profile, Bundle]
) -> None:
    decoder = Decoder(bundles[profile], ONE_THREAD)
    spec, counts = bundles[profile].manifest.decoder, Counts()
    step = run_step(decoder, embeddings(spec.hidden_size), decoder.empty(2 * LENGTH), Counts())
    prefix = Prefix(step.cache, step.states, POSITIONS)
    left, right = embeddings(spec.hidden_size, 1, 20), embeddings(spec.hidden_size, 2, 33)
    alone = []
    for rest in (left, right):
        with decoder.lend(prefix, rest.shape[1], counts) as cache:
            alone.append(run_step(decoder, rest, cache, Counts()).logits.copy())
    assert counts.bytes_copied == 0
    with (
        decoder.lend(prefix, 20, counts) as first,
        decoder.lend(prefix, 33, counts) as second,
    ):
        mine = run_step(decoder, left[:, :10], first, Counts()).cache
        copied = run_step(decoder, right, second, Counts()).logits
        actual = run_step(decoder, left[:, 10:], mine, Counts()).logits
    for logits, expected in zip((actual, copied), alone, strict=True):
        assert_close(logits, expected, atol=EQUAL * max(1, np.abs(expected).max()))
    assert counts.bytes_copied == (prefix_bytes(spec) if profile == "ort" else 0)


def prefix_bytes(spec: DecoderSpec, layers: int | None = None) -> int:
    floats = 2 * (layers or spec.layers) * spec.key_value_heads * spec.head_dim * LENGTH
    return floats * np.dtype(np.float32).itemsize


def test_a_prefix_grows_once(halves: Decoder, spec: DecoderSpec) -> None:
    step = run_step(halves, embeddings(spec.hidden_size), halves.empty(LENGTH), Counts())
    prefix, counts = Prefix(step.cache, step.states, POSITIONS), Counts()
    small = prefix.nbytes
    for _ in range(2):
        with halves.lend(prefix, 10 * LENGTH, counts) as cache:
            assert cache.fits(10 * LENGTH)
    assert counts.bytes_copied == prefix_bytes(spec)
    assert prefix.nbytes > small


def test_concatenation_is_counted(bundles: dict[Profile, Bundle]) -> None:
    for profile, copied in (("ort", 0), ("portable", 1)):
        decoder = Decoder(bundles[profile], ONE_THREAD)  # type: ignore[index]
        spec, counts = bundles[profile].manifest.decoder, Counts()  # type: ignore[index]
        embeds = embeddings(spec.hidden_size, length=LENGTH + 1)
        cache = run_step(decoder, embeds[:, :LENGTH], decoder.empty(LENGTH + 1), counts).cache
        run_step(decoder, embeds[:, LENGTH:], cache, counts)
        assert counts.bytes_copied == copied * prefix_bytes(spec)
        assert counts.decoder_tokens == LENGTH + 1
        assert counts.layer_tokens == (LENGTH + 1) * spec.layers


@pytest.mark.parametrize("profile", PROFILES)
def test_the_upper_half_follows_later(
    profile: Profile, spec: DecoderSpec, request: pytest.FixtureRequest
) -> None:
    folder = POCKET if profile == "ort" else request.getfixturevalue("pocket_portable")
    halves = Decoder(open_bundle(folder), ONE_THREAD)
    assert spec.exit_layers is not None
    embeds, rest = embeddings(spec.hidden_size), embeddings(spec.hidden_size, 1, 20)
    whole = run_step(halves, embeds, halves.empty(2 * LENGTH), Counts())
    expected = run_step(halves, rest, whole.cache, Counts())

    counts = Counts()
    lower = run_step(halves, embeds, halves.empty(2 * LENGTH), counts, lower=True)
    assert counts.layer_tokens == LENGTH * spec.exit_layers
    rows = sum(layer < spec.exit_layers for layer in spec.tapped_layers)
    assert_close(lower.attention, whole.attention[:rows])
    prefix = Prefix(lower.cache, lower.states, POSITIONS)
    with halves.lend(prefix, 20, counts, lower=True) as cache:
        early = run_step(halves, rest, cache, counts, lower=True)
    assert_close(early.attention, expected.attention[:rows])
    assert counts.layer_tokens == (LENGTH + 20) * spec.exit_layers
    for _ in range(2):  # the upper half runs over the prefix once
        counts = Counts()
        with halves.lend(prefix, 20, counts) as cache:
            actual = run_step(halves, rest, cache, counts)
    assert_close(actual.logits, expected.logits)
    assert_close(actual.attention, expected.attention)
    assert counts.layer_tokens == 20 * spec.layers
    assert counts.bytes_copied == (0 if profile == "ort" else prefix_bytes(spec))
