"""The most pixels that a model sees can be chosen at export, within what its processor allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carve_export.checkpoint.image_rules import READERS, image_rule
from carve_export.checkpoint.load import load_checkpoint
from carve_models.errors import SettingsError
from carve_models.families.family import ImageDeclaration, NativeImages
from tests.conftest import CheckpointOf


def characters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def test_native_images(checkpoint_of: CheckpointOf) -> None:
    loaded = load_checkpoint(str(checkpoint_of("qwen2_5_vl")))
    small = NativeImages(max_tokens=9, window_size="window_size")
    checkpoint = replace(loaded, family=replace(loaded.family, images=small))
    limits = {
        max_pixels: image_rule(checkpoint, characters, max_pixels).most_tokens
        for max_pixels in (None, 20 * 64, 10**9, 64)
    }
    assert limits == {None: 9, 20 * 64: 20, 10**9: 3840 // 64, 64: 1}
    with pytest.raises(SettingsError, match="at most 63 pixels"):
        image_rule(checkpoint, characters, 63)


def test_tiles(checkpoint_of: CheckpointOf) -> None:
    rule = image_rule(load_checkpoint(str(checkpoint_of("internvl"))), characters, 3 * 32**2)
    views = 3 + 1
    assert rule.most_tokens == views * rule.fewest_tokens


def test_a_single_size_cannot_be_chosen(checkpoint_of: CheckpointOf) -> None:
    checkpoint = load_checkpoint(str(checkpoint_of("llava-clip-gqa")))
    with pytest.raises(SettingsError, match="this model sees every image at"):
        image_rule(checkpoint, characters, 10_000)


def test_every_kind_of_declaration_has_a_reader() -> None:
    assert set(READERS) == set(ImageDeclaration.__subclasses__())
