"""Cheaper ways to ask: early exit, adaptive mode, images that are remembered. Counts, not times."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from carve_runtime import (
    Carve,
    CarveResult,
    SettingsError,
    Token,
    draw_result,
    load_image,
    refine_image,
    session_cache,
)
from carve_runtime.session_cache import image_key
from tests.comparing import assert_close
from tests.support import POCKET, SCENES

ENTRIES = json.loads((SCENES / "questions.json").read_text())
SCENE = SCENES / "scene-01.jpg"
QUESTION = "What letter is on the yellow square?"
OTHER = SCENES / "scene-02.jpg"
V3: Any = {"variant": "v3", "layers": [1], "final_prompt": "refined"}


def assert_same(actual: CarveResult, wanted: CarveResult) -> None:
    assert actual.token_ids == wanted.token_ids
    np.testing.assert_array_equal(actual.mask, wanted.mask)
    assert_close(actual.question_attention[:1], wanted.question_attention[:1])
    assert_close(actual.general_attention[:1], wanted.general_attention[:1])


@pytest.mark.parametrize("final_prompt", ["pair", "refined"])
def test_early_exit_changes_no_answer(pocket: Carve, final_prompt: Any) -> None:
    for entry in ENTRIES[:6]:
        image, question = SCENES / entry["image"], entry["question"]
        settings = V3 | {"final_prompt": final_prompt}
        early = pocket.ask(image, question, early_exit=True, **settings)
        assert (early.plain_answer, early.plain_token_ids, early.plain_probability) == (None,) * 3
        assert early.skipped is None
        assert_same(early, pocket.ask(image, question, **settings))


def test_early_exit_runs_the_lower_layers_only(pocket: Carve) -> None:
    spec = pocket.manifest.decoder
    assert spec.exit_layers is not None
    early = pocket.ask(SCENE, QUESTION, early_exit=True, **V3)
    final = pocket.plain(early.refined_image, QUESTION)
    attention_tokens = early.counts.decoder_tokens - final.counts.decoder_tokens
    expected = attention_tokens * spec.exit_layers + final.counts.decoder_tokens * spec.layers
    assert early.counts.layer_tokens == expected
    assert early.counts.bytes_copied == 0
    # With the pair, the final pass needs the upper half of the prefix, and nothing twice.
    pair = V3 | {"final_prompt": "pair"}
    saved = pocket.ask(SCENE, QUESTION, **pair).counts
    early_pair = pocket.ask(SCENE, QUESTION, early_exit=True, **pair).counts
    assert early_pair.layer_tokens < saved.layer_tokens
    assert early_pair.decoder_tokens <= saved.decoder_tokens


def test_early_exit_then_plain_in_one_session(pocket: Carve) -> None:
    wanted = pocket.plain(SCENE, QUESTION)
    with pocket.open(SCENE) as session:
        session.ask(QUESTION, early_exit=True, **V3)
        actual = session.plain(QUESTION)
        assert actual.token_ids == wanted.token_ids
        # The general pass stopped below the layer that is asked for now.
        higher = V3 | {"layers": [3]}
        assert_same(session.ask(QUESTION, **higher), pocket.ask(SCENE, QUESTION, **higher))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "v4"}, "sees the first step only, and steps is 'all'"),
        ({"layers": [3]}, "stops below layer 2, layers has 3"),
        ({"adaptive": True}, "adaptive judges the plain answer"),
        ({"early_exit": 1}, "early_exit is 1"),
    ],
)
def test_early_exit_that_cannot_be(pocket: Carve, changes: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        pocket.ask(SCENE, QUESTION, **V3 | {"early_exit": True} | changes)


def test_adaptive_skips_what_is_sure_and_focused(pocket: Carve) -> None:
    full = pocket.ask(SCENE, QUESTION)
    assert full.skipped is None
    assert full.plain_probability is not None
    at: Any = {"sure_probability": full.plain_probability, "focused_entropy": full.entropy}
    tokens: list[Token] = []
    result = pocket.ask(SCENE, QUESTION, adaptive=True, on_token=tokens.append, **at)
    assert result.skipped is not None
    assert "sure" in result.skipped
    assert result.answer == result.plain_answer == full.plain_answer
    assert {token.stage for token in tokens} == {"question"}
    assert result.counts == pocket.plain(SCENE, QUESTION).counts
    assert np.isnan(result.saliency).all()
    assert result.mask.all()
    np.testing.assert_array_equal(result.refined_image, load_image(SCENE))
    assert len(result.general_attention) == 0
    assert draw_result(result).width > 0


def test_adaptive_goes_on_when_either_is_missing(pocket: Carve) -> None:
    full = pocket.ask(SCENE, QUESTION)
    assert full.plain_probability is not None
    barely: Any = {"sure_probability": full.plain_probability, "focused_entropy": full.entropy}
    for name, direction in (("sure_probability", 1.0), ("focused_entropy", -1.0)):
        missed = barely | {name: float(np.nextafter(barely[name], direction * np.inf))}
        if missed["sure_probability"] <= 1:
            result = pocket.ask(SCENE, QUESTION, adaptive=True, **missed)
            assert result.skipped is None
            assert_same(result, full)


def test_adaptive_needs_thresholds(pocket: Carve) -> None:
    if pocket.manifest.defaults.sure_probability is None:
        with pytest.raises(SettingsError, match="adaptive has no thresholds"):
            pocket.ask(SCENE, QUESTION, adaptive=True)
    else:
        pocket.ask(SCENE, QUESTION, adaptive=True)


def test_an_image_asked_about_again_is_not_looked_at_again(pocket: Carve) -> None:
    vlm = Carve.load(POCKET)
    first = vlm.ask(SCENE, QUESTION, final_prompt="refined")
    again = vlm.ask(load_image(SCENE), QUESTION, final_prompt="refined")
    assert_same(again, first)
    assert first.counts.vision_runs == 2
    assert again.counts.vision_runs == 1  # the refined image
    with pocket.open(SCENE) as session:
        session.ask(QUESTION, final_prompt="refined")
        assert again.counts == session.ask(QUESTION, final_prompt="refined").counts
    assert vlm.plain(SCENE, QUESTION).counts.vision_runs == 0
    assert vlm.plain(OTHER, QUESTION).counts.vision_runs == 1


def test_the_crop_is_taken_from_the_original(pocket: Carve) -> None:
    """Stripes one pixel wide, far below what the model is shown, survive in the refined image."""
    image = np.zeros((900, 1200, 3), np.uint8)
    image[:, ::2] = 255
    result = pocket.ask(image, QUESTION)
    size = pocket.manifest.image.fixed_size
    assert size is not None
    assert max(size) < 900
    refined, box = refine_image(image, result.mask)
    assert box == result.bbox
    np.testing.assert_array_equal(result.refined_image, refined)
    assert np.ptp(result.refined_image) > 200


def test_one_pixel_makes_another_image() -> None:
    image = load_image(SCENE).copy()
    key = image_key(image)
    assert image_key(image[:, ::-1]) != key
    assert image_key(image.reshape(2 * image.shape[0], -1, 3)) != key
    image[5, 7, 1] ^= 1
    assert image_key(image) != key


def test_what_the_key_of_a_large_image_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_cache, "_SAMPLE", 10_000)
    vlm = Carve.load(POCKET)
    first = load_image(SCENE)
    second = first.copy()
    second[1::2, 1::2] = 0
    assert image_key(first) == image_key(second)
    for image in (first, second):
        for runs in (1, 0):
            result = vlm.plain(image, QUESTION)
            assert result.counts.vision_runs == runs
            assert result.token_ids == Carve.load(POCKET).plain(image, QUESTION).token_ids
    assert image_key(first[:, ::-1]) != image_key(first)


def test_memory_of_images_is_bounded() -> None:
    with Carve.load(POCKET, image_cache_bytes=0).open(SCENE) as session:
        session.ask(QUESTION, final_prompt="pair")
        left = session.nbytes
    vlm = Carve.load(POCKET, image_cache_bytes=int(2.5 * left))
    for image in (SCENE, OTHER, SCENE, SCENES / "scene-03.jpg"):
        vlm.ask(image, QUESTION, final_prompt="pair")
        assert vlm.image_cache_nbytes <= 2.5 * left
    assert vlm.plain(SCENE, QUESTION).counts.vision_runs == 0
    assert vlm.plain(OTHER, QUESTION).counts.vision_runs == 1  # used longest ago


def test_threads_share_remembered_images(pocket: Carve) -> None:
    work = [(SCENES / entry["image"], entry["question"]) for entry in ENTRIES[:9]] * 2
    wanted = [pocket.ask(*pair, final_prompt="pair") for pair in work]
    vlm = Carve.load(POCKET)
    with ThreadPoolExecutor(6) as pool:
        actual = list(pool.map(lambda pair: vlm.ask(*pair, final_prompt="pair"), work))
    for left, right in zip(actual, wanted, strict=True):
        assert_same(left, right)
