"""Read the rule of images that are all brought to one size."""

from __future__ import annotations

from typing import Any

from carve_export.checkpoint.image_rules.source import RuleSource, given
from carve_models.errors import CheckpointError
from carve_models.families.family import FixedImages
from carve_models.image_rules import FixedImage


def read_fixed(images: FixedImages, source: RuleSource) -> FixedImage:
    """Return the rule of images of one size.

    Raises:
        CheckpointError: steps that the rule cannot express, or that miss the encoder's size.
    """
    processor, vision = source.processor, source.vision
    side, patch = vision.image_size, vision.patch_size
    resize_to, shortest = _resize(processor)
    crop = _pair(processor["crop_size"]) if processor.get("do_center_crop") else None
    size = crop or resize_to
    if size != (side, side):
        raise CheckpointError(
            f"preprocessing makes pixel_values of {size or 'varying size'}, the tower takes "
            f"{side} x {side}",
            "correct preprocessor_config.json",
        )
    return FixedImage(
        **source.shared,
        pad_color=_pad_color(images, processor),
        resize_to=resize_to,
        resize_shortest_edge=shortest,
        crop=crop,
        size=size,
        grid=(side // patch, side // patch),
        patch_size=patch,
    )


def _resize(processor: dict[str, Any]) -> tuple[tuple[int, int] | None, int | None]:
    """Return the fixed size or the length of the shortest edge."""
    if not processor.get("do_resize"):
        return None, None
    size = given(processor["size"])
    if set(size) == {"height", "width"}:
        return _pair(size), None
    if set(size) == {"shortest_edge"}:
        return None, size["shortest_edge"]
    raise CheckpointError(
        f"preprocessor_config.json resizes to {size}",
        "only height and width, or shortest_edge, are supported",
    )


def _pair(size: Any) -> tuple[int, int]:
    return dict(size)["height"], dict(size)["width"]


def _pad_color(images: FixedImages, processor: dict[str, Any]) -> tuple[int, int, int] | None:
    if not processor.get("do_pad"):
        return None
    kind = processor["image_processor_type"]
    if kind not in images.square_padding_processors:
        raise CheckpointError(f"{kind} pads images", "set do_pad to false")
    red, green, blue = (int(channel * 255) for channel in processor["image_mean"])
    return red, green, blue
