"""Turn a Hugging Face image processor's configuration into the bundle's image rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from PIL import Image

from carve_export.checkpoint.load import Checkpoint
from carve_models.errors import CheckpointError
from carve_models.families.family import FixedImages, NativeImages, TiledImages, TileTexts
from carve_models.image_rules import (
    FixedImage,
    ImageRule,
    NativeImage,
    TiledImage,
    TileMarkup,
)
from carve_models.manifest import DecoderSpec

#: Idefics3's processor shrinks what is longer, by a rule of its own.
_LONGEST_EDGE = 4096


def image_rule(
    checkpoint: Checkpoint,
    encode: Callable[[str], tuple[int, ...]],
    max_pixels: int | None = None,
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
    processor = checkpoint.image_processor.to_dict()
    resample: Any = Image.Resampling(processor.get("resample", Image.Resampling.BILINEAR))
    normalizes = processor.get("do_normalize", False)
    shared = {
        "resample": resample.name.lower(),
        "rescale_factor": processor["rescale_factor"] if processor.get("do_rescale") else 1.0,
        "mean": tuple(processor["image_mean"]) if normalizes else None,
        "std": tuple(processor["image_std"]) if normalizes else None,
    }
    images = checkpoint.family.images
    spec: ImageRule
    if isinstance(images, FixedImages):
        spec = _fixed_image(checkpoint, images, processor, shared)
    elif isinstance(images, NativeImages):
        spec = _native_image(checkpoint, images, processor, shared)
        if max_pixels is None:
            max_pixels = images.max_tokens * spec.token_size**2
    else:
        spec = _tiled_image(checkpoint, images, processor, shared, encode)
    return spec if max_pixels is None else spec.within(max_pixels)


def require_room(spec: ImageRule, decoder: DecoderSpec) -> None:
    """Raise :class:`CheckpointError` if even the smallest image exceeds the model's context."""
    if spec.fewest_tokens >= decoder.context_length:
        raise CheckpointError(
            f"an image takes {spec.fewest_tokens} of {decoder.context_length} positions",
            "use a model with a longer context",
        )


def _fixed_image(
    checkpoint: Checkpoint, images: FixedImages, processor: dict[str, Any], shared: dict[str, Any]
) -> FixedImage:
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
    return FixedImage(
        **shared,
        pad_color=_pad_color(images, processor),
        resize_to=resize_to,
        resize_shortest_edge=shortest,
        crop=crop,
        size=size,
        grid=(side // patch, side // patch),
        patch_size=patch,
    )


def _native_image(
    checkpoint: Checkpoint, images: NativeImages, processor: dict[str, Any], shared: dict[str, Any]
) -> NativeImage:
    vision = checkpoint.config.vision_config
    if not processor.get("do_resize"):
        raise CheckpointError("preprocessor_config.json does not resize", "set do_resize to true")
    size = {name: value for name, value in dict(processor["size"]).items() if value is not None}
    if set(size) != {"shortest_edge", "longest_edge"}:
        raise CheckpointError(
            f"preprocessor_config.json resizes to {size}",
            "give the fewest and the most pixels as shortest_edge and longest_edge",
        )
    for name in ("patch_size", "temporal_patch_size"):
        if processor[name] != getattr(vision, name):
            raise CheckpointError(
                f"{name} is {processor[name]} in preprocessor_config.json and "
                f"{getattr(vision, name)} in config.json",
                "correct preprocessor_config.json",
            )
    token = vision.patch_size * vision.spatial_merge_size
    window = getattr(vision, images.window_size) if images.window_size else None
    table = getattr(vision, images.position_table) if images.position_table else None
    return NativeImage(
        **shared,
        min_pixels=size["shortest_edge"],
        max_pixels=size["longest_edge"],
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        window_size=window // token if window else None,
        position_side=int(table**0.5) if table else None,
    )


def _tiled_image(
    checkpoint: Checkpoint,
    images: TiledImages,
    processor: dict[str, Any],
    shared: dict[str, Any],
    encode: Callable[[str], tuple[int, ...]],
) -> TiledImage:
    config = checkpoint.config
    side, patch = _side(config.vision_config.image_size), _side(config.vision_config.patch_size)
    shrink = getattr(config, images.shrink)
    per_token = patch * (shrink if shrink >= 1 else round(1 / shrink))
    splits = images.switch is None or processor[images.switch]
    rule: dict[str, Any] = {"split": images.split if splits else "none"}
    if images.split == "longest_edge":
        tile = dict(processor["max_image_size"])["longest_edge"]
        rule["longest_edge"] = dict(processor["size"])["longest_edge"]
    else:
        tile = dict(processor["size"])["height"]
        rule |= {"min_tiles": processor["min_patches"], "max_tiles": processor["max_patches"]}
    if tile != side or not processor.get("do_resize"):
        raise CheckpointError(
            f"preprocessing makes tiles of {tile} pixels, the tower wants {side}",
            "correct preprocessor_config.json",
        )
    if (rule.get("longest_edge") or 0) > _LONGEST_EDGE:
        raise CheckpointError(
            f"preprocessor_config.json enlarges images to {rule['longest_edge']} pixels",
            f"give a longest_edge of at most {_LONGEST_EDGE}",
        )
    grid = side // per_token, side // per_token
    blank = TiledImage(**shared, **rule, tile=tile, tile_grid=grid)
    return msgspec.structs.replace(blank, markup=_markup(images.texts, blank, encode))


def _markup(
    texts: TileTexts, spec: TiledImage, encode: Callable[[str], tuple[int, ...]]
) -> TileMarkup:
    numbers = range(1, spec.most_tiles_per_side + 1) if texts.tile else ()
    return TileMarkup(
        begin=encode(texts.begin),
        tiles=tuple(
            tuple(encode(texts.tile.format(row=row, column=column)) for column in numbers)
            for row in numbers
        ),
        row_end=encode(texts.row_end),
        global_view=encode(texts.global_view),
        alone=encode(texts.alone),
        end=encode(texts.end),
    )


def _side(size: int | Sequence[int]) -> int:
    return size if isinstance(size, int) else size[0]


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


def _pad_color(images: FixedImages, processor: dict[str, Any]) -> tuple[int, int, int] | None:
    if not processor.get("do_pad"):
        return None
    kind = processor["image_processor_type"]
    if kind not in images.square_padding_processors:
        raise CheckpointError(f"{kind} pads images", "set do_pad to false")
    red, green, blue = (int(channel * 255) for channel in processor["image_mean"])
    return red, green, blue
