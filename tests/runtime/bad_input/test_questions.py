"""Questions, settings and pictures that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from carve_runtime import (
    Carve,
    ImageError,
    PromptError,
    SettingsError,
)
from tests.support import SCENES

SCENE = SCENES / "scene-00.jpg"
QUESTION = "What letter is on the blue cross?"
#: What JavaScript says too.
SHARE = r'Give a number above 0, at most 1, or "auto"\.$'

BAD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"nonsense": 1}, r"no setting named 'nonsense'\. Choose from .*mask_top_p"),
    ({"variant": "v9"}, r"variant is 'v9'\. Choose one of v1, v2, v3, v4"),
    ({"layers": [4]}, r"does not expose layer 4 of its 4 layers\. Choose from 0, 1, 2, 3"),
    ({"layers": []}, r"layers is empty\. Name at least one"),
    ({"layers": [1, 1]}, r"layers \[1, 1\] repeat\. Name each layer once"),
    ({"layers": "high"}, r"layers.*high"),
    ({"layers": 3}, r"layers.*3"),
    ({"steps": "second"}, r"steps is 'second'\. Choose one of first, all, last"),
    (
        {"resize_refined": "thrice"},
        r"resize_refined is 'thrice'\. Choose one of by_size, twice, once",
    ),
    ({"geometry": "flat"}, r"geometry is 'flat'\. Choose one of input, released"),
    ({"mask_top_p": 1.5}, rf"mask_top_p is 1\.5\. {SHARE}"),
    ({"mask_top_p": -0.1}, rf"mask_top_p is -0\.1\. {SHARE}"),
    ({"mask_top_p": float("nan")}, rf"mask_top_p is nan\. {SHARE}"),
    ({"mask_top_p": 0.0}, rf"mask_top_p is 0\.0\. {SHARE}"),
    ({"mask_top_p": "0.3"}, rf"mask_top_p is '0\.3'\. {SHARE}"),
    ({"mask_top_p": True}, rf"mask_top_p is True\. {SHARE}"),
    ({"max_regions": 0}, r"max_regions is 0\. Give a value at least 1"),
    ({"max_regions": 2.5}, r"max_regions is 2\.5\. Give a"),
    ({"max_new_tokens": 0}, r"max_new_tokens is 0\. Give a value at least 1"),
    ({"max_new_tokens": 1.5}, r"max_new_tokens is 1\.5\. Give a"),
    ({"regularizer": -1.0}, r"regularizer is -1\.0\. Give a value at least 0"),
    ({"outlier_percent": 101}, r"outlier_percent is 101\. Give a value between 0 and 100"),
    ({"max_refined_pixels": 0}, r"max_refined_pixels is 0\. Give a value at least 1"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_SETTINGS)
def test_bad_settings(pocket: Carve, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        pocket.ask(SCENE, QUESTION, **changes)


@pytest.mark.parametrize("ask", [Carve.ask, Carve.plain])
def test_bad_questions(pocket: Carve, ask: Callable[..., object]) -> None:
    for empty in ("", " \n\t"):
        with pytest.raises(PromptError, match=r"question is empty\. Ask something"):
            ask(pocket, SCENE, empty)
    too_long = r"prompt of \d+ tokens .* need \d+ positions, the model has 1024\. Shorten"
    with pytest.raises(PromptError, match=too_long):
        ask(pocket, SCENE, "what " * 1000)
    with pytest.raises(PromptError, match=too_long):
        ask(pocket, SCENE, QUESTION, max_new_tokens=1024)


@pytest.mark.parametrize("ask", [Carve.ask, Carve.plain])
def test_a_listener_that_cannot_be_called(pocket: Carve, ask: Callable[..., object]) -> None:
    """Told before the image is read, and before a pass that it would hear of."""
    with pytest.raises(SettingsError, match=r"on_token is 'print'\. Give a function of one Token"):
        ask(pocket, "no such image", QUESTION, on_token="print")


def test_extreme_aspect_ratios(pocket: Carve) -> None:
    for shape in ((2, 402, 3), (402, 2, 3)):
        with pytest.raises(ImageError, match=r"ratio of 201\. Crop the image to a ratio .* 200"):
            pocket.ask(np.zeros(shape, np.uint8), QUESTION)
    for shape in ((2, 400, 3), (400, 2, 3)):
        assert pocket.ask(np.zeros(shape, np.uint8), QUESTION).mask.shape == shape[:2]
