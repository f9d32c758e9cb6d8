"""What does not fit behind an image is refused before the vision encoder looks at the image."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carve_models.names import VISION_ENCODER
from carve_runtime import Carve, PromptError
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, open_bundle
from tests.conftest import ExportOf

QUESTION = "What word is on the sign?"
#: Few image tokens, and as many as an image can have: 4 and 60 or near it.
SMALL, LARGE = (np.full((side, side, 3), 99, np.uint8) for side in (16, 200))
BETWEEN = 20
TOO_LARGE = r"before it take (\d+) positions"

Ask = Callable[[Carve, Any], object]
#: What is asked with an image, and how many images were encoded before the refusal.
QUESTIONS: dict[str, tuple[Ask, int]] = {
    "plain": (lambda vlm, image: vlm.plain(image, QUESTION, max_new_tokens=2), 0),
    "ask": (lambda vlm, image: vlm.ask(image, QUESTION, **REFINED), 0),
    "early exit": (lambda vlm, image: vlm.ask(image, QUESTION, early_exit=True, **REFINED), 0),
    "pair": (
        lambda vlm, image: vlm.plain(SMALL, QUESTION, refined=image, max_new_tokens=2),
        1,  # the first one
    ),
}
REFINED: Any = {
    "final_prompt": "refined",
    "variant": "v3",
    "layers": [0],
    "max_new_tokens": 2,
}


@pytest.fixture
def watched(export_of: ExportOf) -> Callable[[int], tuple[Carve, list[str]]]:
    """Return a maker of models with so long a context, and of the list of the graphs they run."""
    opened = open_bundle(export_of("qwen2_5_vl", "ort").folder)

    def make(positions: int) -> tuple[Carve, list[str]]:
        decoder = replace(opened.manifest.decoder, context_length=positions)
        bundle = Bundle(opened.folder, replace(opened.manifest, decoder=decoder))
        ran: list[str] = []
        watch = BackendSettings(on_run=lambda name, feeds: ran.append(name))
        return Carve(bundle, watch), ran

    return make


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_behind_a_large_image(
    name: str, watched: Callable[[int], tuple[Carve, list[str]]]
) -> None:
    ask, encoded = QUESTIONS[name]
    with pytest.raises(PromptError) as caught:
        ask(watched(1)[0], SMALL)
    needed = re.search(r"need (\d+) positions", caught.value.cause)
    assert needed is not None
    ask(watched(int(needed[1]) + BETWEEN)[0], SMALL)
    vlm, ran = watched(int(needed[1]) + BETWEEN)
    with pytest.raises(PromptError, match=r"prompt of \d+ tokens .* Shorten the question"):
        ask(vlm, LARGE)
    assert ran.count(VISION_ENCODER) == encoded


def test_an_image_that_is_too_large_alone(
    watched: Callable[[int], tuple[Carve, list[str]]],
) -> None:
    vlm, ran = watched(BETWEEN)
    with pytest.raises(PromptError, match=rf"{TOO_LARGE}, .*smaller image") as caught:
        vlm.open(LARGE)
    assert ran == []
    taken = re.search(TOO_LARGE, caught.value.cause)
    assert taken is not None
    watched(int(taken[1]))[0].open(LARGE)
    with pytest.raises(PromptError, match=TOO_LARGE):
        watched(int(taken[1]) - 1)[0].open(LARGE)


def test_the_positions_asked_for_are_those_that_are_used(
    watched: Callable[[int], tuple[Carve, list[str]]],
) -> None:
    used = watched(500)[0].plain(SMALL, QUESTION, max_new_tokens=2).counts.decoder_tokens
    watched(used)[0].plain(SMALL, QUESTION, max_new_tokens=2)
    with pytest.raises(PromptError, match=rf"need {used} positions, the model has {used - 1}\."):
        watched(used - 1)[0].plain(SMALL, QUESTION, max_new_tokens=2)
