"""Tiles and the ids around them are those of Hugging Face's processors at every size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from carve_export.checkpoint.image_rules import image_rule
from carve_export.checkpoint.load import Checkpoint
from carve_models import names
from carve_models.errors import CheckpointError
from carve_models.families.family import Family
from carve_models.families.idefics3 import IDEFICS3
from carve_models.families.internvl import INTERNVL
from carve_models.image_rules import ImageRule
from carve_models.interface import FEATURE
from carve_runtime import load_image
from carve_runtime.images.preprocess import preprocess
from tests.comparing import assert_close
from tests.photo_variants import MAKERS, make_variant

Array = NDArray[Any]
TILE, PATCH = 32, 8
IMAGE = "x"  # one character, one id: an image token in the spelled prompts

IDEFICS = {
    "smolvlm": SmolVLMImageProcessorPil(
        size={"longest_edge": 128}, max_image_size={"longest_edge": TILE}
    ),
    "idefics3": Idefics3ImageProcessorPil(
        size={"longest_edge": 100}, max_image_size={"longest_edge": TILE}
    ),
    "idefics3-one-view": Idefics3ImageProcessorPil(
        size={"longest_edge": 90}, max_image_size={"longest_edge": TILE}, do_image_splitting=False
    ),
}
INTERNVLS = {
    "internvl": GotOcr2ImageProcessorPil(size={"height": TILE, "width": TILE}, max_patches=12),
    "internvl-few": GotOcr2ImageProcessorPil(
        size={"height": TILE, "width": TILE}, min_patches=2, max_patches=5
    ),
    "internvl-one": GotOcr2ImageProcessorPil(size={"height": TILE, "width": TILE}, max_patches=1),
}


def spell(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def rule_of(processor: Any, family: Family) -> ImageRule:
    """Return the rule that the exporter reads off a processor; an id is a character."""
    vision = SimpleNamespace(image_size=TILE, patch_size=PATCH)
    config = SimpleNamespace(vision_config=vision, scale_factor=2, downsample_ratio=0.5)
    checkpoint = Checkpoint("", family, SimpleNamespace(config=config), None, processor)
    return image_rule(checkpoint, spell)


RULES = {name: rule_of(processor, IDEFICS3) for name, processor in IDEFICS.items()} | {
    name: rule_of(processor, INTERNVL) for name, processor in INTERNVLS.items()
}


def expected_input(pixels: Array, name: str) -> tuple[Array, str]:
    """Return Hugging Face's pixel_values and prompt."""
    tokens = IMAGE * (TILE // PATCH // 2) ** 2
    picture = Image.fromarray(pixels)
    if name in IDEFICS:
        inputs = IDEFICS[name](picture, return_row_col_info=True, return_tensors="np")
        rows, columns = inputs["rows"][0][0], inputs["cols"][0][0]
        return inputs["pixel_values"][0], get_image_prompt_string(
            rows, columns, len(tokens), "<fake_token_around_image>", IMAGE, "<global-img>"
        )
    inputs = INTERNVLS[name](picture, crop_to_patches=True, return_tensors="np")
    return inputs["pixel_values"], f"<img>{tokens * int(inputs['num_patches'][0])}</img>"


def assert_same(pixels: Array, name: str) -> None:
    values, prompt = expected_input(pixels, name)
    model_input = preprocess(pixels, RULES[name])
    assert_close(model_input.feeds[names.PIXEL_VALUES], values, atol=1e-5)
    spelled = "".join(IMAGE if token == FEATURE else chr(token) for token in model_input.ids)
    assert spelled == prompt
    assert (
        len(set(model_input.map_tokens))
        == len(model_input.map_tokens)
        == model_input.grid[0] * model_input.grid[1]
    )
    assert (model_input.ids[model_input.map_tokens] == FEATURE).all()


@pytest.mark.parametrize("variant", MAKERS)
def test_pixel_values_of_every_photograph(variant: str, tmp_path: Path) -> None:
    pixels = load_image(make_variant(variant, tmp_path).path)
    for name in RULES:
        assert_same(pixels, name)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_pixel_values_at_any_size(name: str, height: int, width: int) -> None:
    generator = np.random.default_rng(height * 1000 + width)
    assert_same(generator.integers(0, 256, (height, width, 3), np.uint8), name)


@pytest.mark.parametrize(
    ("size", "tile", "message"),
    [(128, 40, "tiles of 40 pixels, the tower takes 32"), (5000, TILE, "images to 5000 pixels")],
)
def test_processors_that_cannot_be_followed_are_refused(size: int, tile: int, message: str) -> None:
    processor = Idefics3ImageProcessorPil(
        size={"longest_edge": size}, max_image_size={"longest_edge": tile}
    )
    with pytest.raises(CheckpointError, match=message):
        rule_of(processor, IDEFICS3)
