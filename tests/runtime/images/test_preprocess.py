"""pixel_values are Hugging Face's, and the token grid lies where the model looked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from carve_export.checkpoint.image_rules import image_rule
from carve_models.errors import CheckpointError
from carve_models.families.llava import LLAVA
from carve_models.image_rules import FixedImage
from carve_models.names import PIXEL_VALUES
from carve_runtime import Carve, fuse_contrast, load_image, select_regions
from carve_runtime.images.preprocess import preprocess
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.photo_variants import MAKERS, make_variant
from tests.support import PHOTOS

Array = NDArray[Any]
PATCH = 8
GREY = (122, 116, 104)  # int(255 * mean) of CLIP: what pads to a square
SHADE = 0.02  # of the patch's brightness; a token that differs less was not touched


def square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


PROCESSORS = {
    "clip-crop": CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size=square(48)),
    "clip-crop-odd": CLIPImageProcessorPil(size={"shortest_edge": 63}, crop_size=square(49)),
    "clip-crop-enlarges": CLIPImageProcessorPil(size={"shortest_edge": 37}, crop_size=square(56)),
    "clip-stretch": CLIPImageProcessorPil(size=square(48), do_center_crop=False),
    "clip-stretch-crop": CLIPImageProcessorPil(size=square(64), crop_size=square(48)),
    "clip-bilinear-raw": CLIPImageProcessorPil(
        size=square(45), do_center_crop=False, resample=2, do_normalize=False
    ),
    "siglip": SiglipImageProcessorPil(size=square(40)),
    "siglip-lanczos": SiglipImageProcessorPil(size=square(47), resample=1, do_rescale=False),
    "llava-pad": LlavaImageProcessorPil(
        size={"shortest_edge": 48}, crop_size=square(48), do_pad=True
    ),
    "llava-pad-odd": LlavaImageProcessorPil(size=square(51), do_center_crop=False, do_pad=True),
    "llava-crop": LlavaImageProcessorPil(size={"shortest_edge": 48}, crop_size=square(48)),
}


def rule_of(name: str) -> FixedImage:
    """Return the rule that the exporter reads off a processor."""
    processor = PROCESSORS[name]
    cropped = getattr(processor, "do_center_crop", False)
    size = processor.crop_size if cropped else processor.size
    rule = image_rule(fake(processor, size["height"]), no_markup)
    assert isinstance(rule, FixedImage)
    return rule


def no_markup(text: str) -> tuple[int, ...]:
    raise AssertionError(text)


def fake(processor: Any, side: int) -> Any:
    """Return what the exporter reads of a checkpoint whose tower takes side x side pixels."""
    config = SimpleNamespace(vision_config=SimpleNamespace(image_size=side, patch_size=PATCH))
    return SimpleNamespace(image_processor=processor, config=config, family=LLAVA)


def pixel_values(pixels: Array, rule: FixedImage) -> Array:
    return preprocess(pixels, rule).feeds[PIXEL_VALUES]


def assert_same(pixels: Array, name: str) -> None:
    """Compare with Hugging Face's processor; a Pillow image, whose channels are never guessed."""
    expected = PROCESSORS[name](Image.fromarray(pixels), return_tensors="np")["pixel_values"]
    actual = pixel_values(pixels, rule_of(name))
    assert actual.dtype == np.float32
    assert_close(actual, expected, atol=1e-5)


@pytest.mark.parametrize("variant", MAKERS)
def test_pixel_values_of_every_photograph(variant: str, tmp_path: Path) -> None:
    pixels = load_image(make_variant(variant, tmp_path).path)
    for name in PROCESSORS:
        assert_same(pixels, name)


@pytest.mark.parametrize("name", PROCESSORS)
@settings(max_examples=25, deadline=None)
@given(height=st.integers(2, 130), width=st.integers(2, 130))
def test_pixel_values_at_any_size(name: str, height: int, width: int) -> None:
    generator = np.random.default_rng(height * 1000 + width)
    assert_same(generator.integers(0, 256, (height, width, 3), np.uint8), name)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (CLIPImageProcessorPil(size={"longest_edge": 48}, do_center_crop=False), "longest_edge"),
        (CLIPImageProcessorPil(size={"shortest_edge": 48}, do_center_crop=False), "varying size"),
        (CLIPImageProcessorPil(size=square(40), do_center_crop=False), r"\(40, 40\)"),
        (CLIPImageProcessorPil(do_resize=False, do_center_crop=False), "varying size"),
    ],
)
def test_rules_that_do_not_fit_the_tower_are_refused(processor: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        image_rule(fake(processor, 48), no_markup)


def touched_tokens(pixels: Array, plain: Array, rule: FixedImage) -> Array:
    """Return which tokens of the grid see the patch, as told by pixel_values alone."""
    change = pixel_values(pixels, rule) - pixel_values(plain, rule)
    rows, columns = rule.grid
    change = np.abs(change[0]).max(axis=0)[: rows * PATCH, : columns * PATCH]
    tokens = change.reshape(rows, PATCH, columns, PATCH).max(axis=(1, 3))
    return np.asarray(tokens > SHADE * max(change.max(), 1.0))


def look_at(tokens: Array, pixels: Array, rule: FixedImage, released: bool) -> tuple[Array, Array]:
    """Return saliency and mask of hand-made attention on some tokens."""
    question = np.where(tokens.ravel(), 1.0, 0.01).astype(np.float32)[None, None]
    saliency = fuse_contrast(
        question,
        np.ones_like(question),
        grid=rule.grid,
        image_size=(pixels.shape[1], pixels.shape[0]),
        layers=[0],
        window=None if released else preprocess(pixels, rule).window,
    )
    visible = np.isfinite(saliency)
    # Where four tokens meet, a touched one still contributes a quarter.
    share = (saliency[visible] > 0.2).mean()
    return saliency, select_regions(saliency, mask_top_p=share)


def token_side(name: str, height: int, width: int) -> tuple[float, float]:
    """Return a token's height and width in pixels of the image, from first principles."""
    rule = rule_of(name)
    if rule.pad_color is not None:
        height = width = max(height, width)
    if rule.resize_to is not None:
        return PATCH * height / rule.resize_to[0], PATCH * width / rule.resize_to[1]
    assert rule.resize_shortest_edge is not None
    side = PATCH * min(height, width) / rule.resize_shortest_edge
    return side, side


@pytest.mark.parametrize("name", PROCESSORS)
@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(60, 420), st.integers(60, 420)),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    share=st.floats(0.05, 0.3),
)
def test_the_mask_covers_the_patch(
    name: str, size: tuple[int, int], at: tuple[float, float], share: float
) -> None:
    (height, width), rule = size, rule_of(name)
    side = max(int(min(size) * share), 3)
    top, left = int(at[0] * (height - side)), int(at[1] * (width - side))
    plain = np.full((height, width, 3), GREY, np.uint8)
    pixels = plain.copy()
    pixels[top : top + side, left : left + side] = 255
    tokens = touched_tokens(pixels, plain, rule)
    assume(tokens.any())  # else the patch was cropped away
    saliency, mask = look_at(tokens, pixels, rule, released=False)
    visible = np.isfinite(saliency)
    patch = np.zeros((height, width), bool)
    patch[top : top + side, left : left + side] = True
    assert mask[patch & visible].all()
    assert not mask[~visible].any()
    tall, wide = token_side(name, height, width)
    near = np.zeros_like(patch)  # one token for partial cover, one for ringing, half for bilinear
    y, x = int(2.5 * tall) + 1, int(2.5 * wide) + 1
    near[max(top - y, 0) : top + side + y, max(left - x, 0) : left + side + x] = True
    assert not (mask & ~near).any()


def lines_that_matter(size: tuple[int, int], axis: int, rule: FixedImage) -> Array:
    """Return which rows (axis 0) or columns (axis 1) of an image change pixel_values at all."""
    plain = np.full((*size, 3), GREY, np.uint8)
    touched = []
    for line in range(size[axis]):
        pixels = plain.copy()
        pixels.swapaxes(0, axis)[line] = 255
        touched.append(touched_tokens(pixels, plain, rule).any())
    return np.flatnonzero(touched)


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (150, 200), (96, 96)])
@pytest.mark.parametrize("name", ["clip-crop", "clip-crop-odd", "clip-stretch-crop"])
def test_what_was_cropped_away_is_never_kept(name: str, size: tuple[int, int]) -> None:
    rule = rule_of(name)
    pixels = np.full((*size, 3), GREY, np.uint8)
    saliency, _ = look_at(np.eye(*rule.grid, dtype=bool), pixels, rule, released=False)
    visible = np.isfinite(saliency)
    for axis, token in enumerate(token_side(name, *size)):
        expected = lines_that_matter(size, axis, rule)
        actual = np.flatnonzero(visible.any(axis=1 - axis))
        reach = 2 * max(token / PATCH, 1.0) + 1  # a bicubic filter looks beyond the crop
        assert abs(actual[0] - expected[0]) <= reach
        assert abs(actual[-1] - expected[-1]) <= reach
    np.testing.assert_array_equal(select_regions(saliency, mask_top_p=1.0), visible)


@pytest.mark.parametrize("size", [(90, 90), (97, 311), (400, 61)])
@pytest.mark.parametrize("name", ["clip-stretch", "siglip"])
def test_both_geometries_agree_where_all_is_seen(name: str, size: tuple[int, int]) -> None:
    rule, pixels = rule_of(name), np.zeros((*size, 3), np.uint8)
    tokens = np.eye(*rule.grid, dtype=bool)
    released, mask = look_at(tokens, pixels, rule, released=True)
    placed, same = look_at(tokens, pixels, rule, released=False)
    assert_close(placed, released, rtol=1e-6)
    np.testing.assert_array_equal(same, mask)


def test_pixels_beyond_the_last_whole_patch_are_not_seen() -> None:
    rule = rule_of("clip-bilinear-raw")  # 45 pixels are 5 patches of 8
    window = preprocess(np.zeros((90, 180, 3), np.uint8), rule).window
    assert_close(window, (0, 0, 160, 80))


def test_both_geometries_of_a_bundle_that_sees_all(pocket: Carve) -> None:
    asked = PHOTOS / "landscape.jpg", "What letter is on the red square?"
    placed, released = (pocket.ask(*asked, geometry=name) for name in ("input", "released"))
    assert_close(placed.saliency, released.saliency, rtol=1e-6)
    np.testing.assert_array_equal(placed.mask, released.mask)
    assert placed.answer == released.answer


def test_both_geometries_of_a_bundle_that_crops(export_of: ExportOf) -> None:
    vlm = Carve.load(export_of("llava-clip-gqa", "ort").folder)
    asked = PHOTOS / "landscape.jpg", "Where is the cat?"
    placed, released = (
        vlm.ask(*asked, geometry=name, mask_top_p=1.0, max_new_tokens=2)
        for name in ("input", "released")
    )
    assert np.isfinite(released.saliency).all()
    visible = np.isfinite(placed.saliency)
    expected = np.zeros((319, 480), bool)
    expected[:, 80:400] = True  # 48 of the 72 x 48 pixels that 480 x 319 is scaled to
    np.testing.assert_array_equal(visible, expected)
    np.testing.assert_array_equal(placed.mask, expected)
    assert placed.bbox == (80, 0, 400, 319)


def test_a_sliver_does_not_grow_to_gigapixels() -> None:
    """A refined image may be thin; the centre crop sees its middle alone, and only that grows."""
    rule = FixedImage(
        resize_shortest_edge=48, crop=(48, 48), size=(48, 48), grid=(6, 6), patch_size=8
    )
    sliver = np.zeros((4, 200_000, 3), np.uint8)
    sliver[:, 99_998:100_002] = 255
    model_input = preprocess(sliver, rule)
    assert model_input.window == (99_998, 0, 100_002, 4)
    assert model_input.feeds[PIXEL_VALUES][..., 8:-8].min() == pytest.approx(1, abs=0.01)
