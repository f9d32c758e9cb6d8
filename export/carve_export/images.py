"""Turn a Hugging Face image processor's configuration into the bundle's image rule."""

from __future__ import annotations

from typing import Any

from PIL import Image

from carve_export.checkpoint import Checkpoint
from carve_models.errors import CheckpointError
from carve_models.manifest import ImageSpec


def image_spec(checkpoint: Checkpoint) -> ImageSpec:
    """Return the rule, or raise :class:`CheckpointError` for a configuration it cannot express."""
    processor = checkpoint.image_processor.to_dict()
    vision = checkpoint.config.vision_config
    side, patch = vision.image_size, vision.patch_size
    resize_to, shortest = _resize(processor)
    crop = _pair(processor["crop_size"]) if processor.get("do_center_crop") else None
    size = crop or resize_to
    if size != (side, side):
        raise CheckpointError(
            f"preprocessing makes pixel_values of {size or 'varying size'}, the tower wants "
            f"{side} x {side}",
            "correct preprocessor_config.json",
        )
    resample: Any = Image.Resampling(processor.get("resample", Image.Resampling.BILINEAR))
    normalizes = processor.get("do_normalize", False)
    return ImageSpec(
        pad_color=_pad_color(checkpoint, processor),
        resize_to=resize_to,
        resize_shortest_edge=shortest,
        resample=resample.name.lower(),
        crop=crop,
        rescale_factor=processor["rescale_factor"] if processor.get("do_rescale") else 1.0,
        mean=tuple(processor["image_mean"]) if normalizes else None,
        std=tuple(processor["image_std"]) if normalizes else None,
        size=size,
        grid=(side // patch, side // patch),
        patch_size=patch,
    )


def _resize(processor: dict[str, Any]) -> tuple[tuple[int, int] | None, int | None]:
    """Return the fixed size or the length of the shortest edge."""
    if not processor.get("do_resize"):
        return None, None
    size = {name: value for name, value in dict(processor["size"]).items() if value is not None}
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


def _pad_color(checkpoint: Checkpoint, processor: dict[str, Any]) -> tuple[int, int, int] | None:
    if not processor.get("do_pad"):
        return None
    kind = processor["image_processor_type"]
    if kind not in checkpoint.family.square_padding_processors:
        raise CheckpointError(f"{kind} pads images", "set do_pad to false")
    red, green, blue = (int(channel * 255) for channel in processor["image_mean"])
    return red, green, blue
