"""What an image rule says of itself is what its steps do, for every kind of rule."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carve_models import names
from carve_models.graph_spec import Tensor
from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage, TileMarkup
from carve_models.interface import FEATURE
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.preprocess import PREPROCESSING, preprocess

HIDDEN = 16
MARKUP = TileMarkup(
    begin=(1,),
    tiles=tuple(tuple((100 + 10 * row + column,) for column in range(4)) for row in range(4)),
    row_end=(2, 3),
    global_view=(4,),
    alone=(5,),
    end=(6,),
)
RULES: dict[str, ImageRule] = {
    "fixed": FixedImage(resize_to=(56, 48), size=(56, 48), grid=(4, 3), patch_size=14),
    "native": NativeImage(
        min_pixels=16 * 64, max_pixels=300 * 64, patch_size=4, merge_size=2, temporal_patch_size=2
    ),
    "native with windows and a table": NativeImage(
        min_pixels=16 * 36,
        max_pixels=250 * 36,
        patch_size=3,
        merge_size=2,
        temporal_patch_size=1,
        window_size=4,
        position_side=12,
    ),
    "longest edge": TiledImage(
        split="longest_edge", longest_edge=128, tile=32, tile_grid=(4, 4), markup=MARKUP
    ),
    "closest aspect": TiledImage(split="closest_aspect", max_tiles=9, tile=32, tile_grid=(4, 4)),
    "one view": TiledImage(split="none", longest_edge=90, tile=32, tile_grid=(4, 4)),
}
DESCRIPTIONS = {
    "fixed": "48 x 56 pixels, 4 x 3 (rows x columns) = 12 tokens",
    "native": "1024 to 19200 pixels in multiples of 8, a token each",
    "closest aspect": "tiles of 32 x 32 pixels and 16 tokens",
}


def test_every_kind_has_its_steps() -> None:
    kinds = set(get_args(ImageRule))
    assert set(PREPROCESSING) == kinds == {type(rule) for rule in RULES.values()}


def dynamic_sizes(tensor: Tensor, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the sizes of the dimensions that a tensor names; the others must be as it says."""
    assert len(shape) == len(tensor.shape)
    pairs = list(zip(tensor.shape, shape, strict=True))
    assert [size for listed, size in pairs if isinstance(listed, int)] == [
        listed for listed in tensor.shape if isinstance(listed, int)
    ]
    return {listed: size for listed, size in pairs if isinstance(listed, str)}


def encoder_sizes(rule: ImageRule, model_input: ModelInput) -> dict[str, int]:
    """Return the sizes that an image gives to the encoder's inputs, which must be the rule's."""
    inputs = rule.encoder_inputs()
    assert list(model_input.feeds) == [tensor.name for tensor in inputs]
    sizes: dict[str, int] = {}
    for tensor in inputs:
        array = model_input.feeds[tensor.name]
        assert array.dtype == tensor.dtype
        named = dynamic_sizes(tensor, array.shape)
        assert sizes | named == named | sizes, "one name, two sizes"
        sizes |= named
    return sizes


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(size=st.tuples(st.integers(30, 400), st.integers(30, 400)))
def test_the_steps_keep_to_the_rule(name: str, size: tuple[int, int]) -> None:
    rule = RULES[name]
    model_input = preprocess(np.zeros((*size, 3), np.uint8), rule)
    sizes, ranges = encoder_sizes(rule, model_input), rule.encoder_ranges()
    for dimension, value in sizes.items():
        smallest, _, largest = ranges.get(dimension, (1, 1, 1))
        assert smallest <= value <= largest
    tokens = int((model_input.ids == FEATURE).sum())
    assert rule.fewest_tokens <= tokens <= rule.most_tokens
    features: tuple[int | str, ...]
    if names.BATCH in sizes:
        features = (names.BATCH, tokens // sizes[names.BATCH], HIDDEN)
    else:
        features = (1, names.IMAGE_TOKENS, HIDDEN)
    assert rule.encoder_features(HIDDEN).shape == features
    assert set(model_input.ids.tolist()) - {FEATURE} <= set(rule.markup_ids())
    assert rule.fixed_size in (None, model_input.feeds[names.PIXEL_VALUES].shape[2:])
    assert rule.fixed_grid in (None, model_input.grid)


@pytest.mark.parametrize("name", RULES)
def test_the_example_varies_what_images_can_vary(name: str) -> None:
    rule = RULES[name]
    model_input = preprocess(np.zeros((*rule.example_size(), 3), np.uint8), rule)
    ranges = rule.encoder_ranges()
    for dimension, size in encoder_sizes(rule, model_input).items():
        _, _, largest = ranges.get(dimension, (1, 1, 1))
        assert size > 1 or largest == 1
    assert min(model_input.grid) > 1


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions(name: str) -> None:
    assert RULES[name].describe() == DESCRIPTIONS[name]
