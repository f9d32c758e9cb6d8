"""Images that a family cannot look at: a typed error that says what is wrong and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carve_runtime import Carve, CarveError, ImageError, PromptError
from tests.conftest import ExportOf
from tests.support import CASES

FAMILIES = {case.family: case.name for case in CASES.values()}


@pytest.fixture(params=FAMILIES)
def bundle(request: pytest.FixtureRequest, export_of: ExportOf) -> Path:
    return export_of(FAMILIES[request.param], "ort").folder


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, np.uint8)


def refused(ask: Callable[..., object], image: Any, kind: type[CarveError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        ask(image, "x", max_new_tokens=1)
    assert caught.type is kind


def test_too_small_and_too_thin(bundle: Path) -> None:
    vlm = Carve.load(bundle)
    for ask in (vlm.ask, vlm.plain):
        refused(ask, grey(1, 40), ImageError, r"40 x 1 pixels.*\. \w+")
        for width, height in ((402, 2), (2, 402)):
            message = rf"{width} x {height} pixels, have a ratio of 201\. Crop the image"
            refused(ask, grey(height, width), ImageError, message)
    assert vlm.ask(grey(2, 400), "x", max_new_tokens=1).mask.shape == (2, 400)


def limited(bundle: Path, folder: Path, positions: int) -> Carve:
    """Load a copy of a bundle whose model has so many positions, and whose prompts are short."""
    manifest = json.loads((shutil.copytree(bundle, folder) / "carve.json").read_text())
    manifest["decoder"]["context_length"] = positions
    manifest["prompts"] |= {"suffix": "", "general": "x"}
    (folder / "carve.json").write_text(json.dumps(manifest))
    return Carve.load(folder)


def test_more_image_tokens_than_the_context(bundle: Path, tmp_path: Path) -> None:
    free = limited(bundle, tmp_path / "free", 512)
    small, large = grey(16, 16), grey(300, 200)
    few, many = (
        free.plain(image, "x", max_new_tokens=1).counts.decoder_tokens for image in (small, large)
    )
    vlm = limited(bundle, tmp_path / "many", many - 1)
    refused(vlm.plain, large, PromptError, rf"need {many} positions, the model has {many - 1}\. S")
    refused(vlm.ask, large, PromptError, rf"need \d+ positions, the model has {many - 1}\. Shorten")
    if few < many:  # sizes matter to this family
        vlm = limited(bundle, tmp_path / "few", few)
        assert vlm.plain(small, "x", max_new_tokens=1).token_ids
        refused(
            vlm.plain,
            large,
            PromptError,
            rf"take \d+ positions, the model has {few}\. Give a small",
        )
