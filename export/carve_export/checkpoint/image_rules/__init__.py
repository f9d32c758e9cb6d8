"""From a Hugging Face image processor's configuration to the bundle's image rule.

In: a checkpoint, with what its family declares of the image processor. Out: an
:data:`~carve_models.image_rules.ImageRule`; one reader for each kind of declaration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from carve_export.checkpoint.image_rules.fixed import read_fixed
from carve_export.checkpoint.image_rules.native import read_native
from carve_export.checkpoint.image_rules.source import RuleSource
from carve_export.checkpoint.image_rules.tiled import read_tiled
from carve_export.checkpoint.load import Checkpoint, metadata
from carve_models.errors import CheckpointError
from carve_models.families.family import (
    FixedImages,
    ImageDeclaration,
    NativeImages,
    TiledImages,
)
from carve_models.image_rules import Ids, ImageRule
from carve_models.manifest import DecoderSpec

#: The reader of each kind of declaration.
READERS: dict[type[ImageDeclaration], Callable[[Any, RuleSource], ImageRule]] = {
    FixedImages: read_fixed,
    NativeImages: read_native,
    TiledImages: read_tiled,
}


def image_rule(
    checkpoint: Checkpoint, encode: Callable[[str], Ids], max_pixels: int | None = None
) -> ImageRule:
    """Return the rule of an image processor.

    Args:
        checkpoint: the checkpoint with its image processor.
        encode: gives the ids of the texts that a prompt has around tiles.
        max_pixels: most pixels that the model is to see, at most what the processor allows; the
            family's choice if ``None``.

    Raises:
        CheckpointError: a configuration that no rule can express.
        SettingsError: the model cannot see images in so few pixels.
    """
    images = checkpoint.family.images
    with metadata("preprocessor_config.json"):
        rule = READERS[type(images)](images, RuleSource(checkpoint, encode, max_pixels))
        rule = msgspec.convert(msgspec.to_builtins(rule), type(rule))  # types and ranges
    return rule if max_pixels is None else rule.within(max_pixels)


def require_context(rule: ImageRule, decoder: DecoderSpec) -> None:
    """Raise :class:`CheckpointError` if even the smallest image exceeds the model's context."""
    if rule.fewest_tokens >= decoder.context_length:
        raise CheckpointError(
            f"an image takes {rule.fewest_tokens} of {decoder.context_length} positions",
            "use a model with a longer context",
        )
