"""Read the rule of images that are split into tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from carve_export.checkpoint.image_rules.source import RuleSource
from carve_models.errors import CheckpointError
from carve_models.families.family import TiledImages, TileTexts
from carve_models.image_rules import Ids, TiledImage, TileMarkup

#: Idefics3's processor shrinks what is longer, by a rule of its own.
_LONGEST_EDGE = 4096


def read_tiled(images: TiledImages, source: RuleSource) -> TiledImage:
    """Return the rule of images that are split into tiles, with the ids around the views.

    Raises:
        CheckpointError: tiles that are not the encoder's size, or images beyond Idefics3's limit.
    """
    config, vision, processor = source.checkpoint.config, source.vision, source.processor
    side, patch = _side(vision.image_size), _side(vision.patch_size)
    shrink = getattr(config, images.shrink)
    token = patch * (shrink if shrink >= 1 else round(1 / shrink))
    splits = images.switch is None or processor[images.switch]
    arrangement: dict[str, Any] = {"split": images.split if splits else "none"}
    if images.split == "longest_edge":
        tile = dict(processor["max_image_size"])["longest_edge"]
        arrangement["longest_edge"] = dict(processor["size"])["longest_edge"]
    else:
        tile = dict(processor["size"])["height"]
        arrangement["min_tiles"] = processor["min_patches"]
        arrangement["max_tiles"] = processor["max_patches"]
    if tile != side or not processor.get("do_resize"):
        raise CheckpointError(
            f"preprocessing makes tiles of {tile} pixels, the tower takes {side}",
            "correct preprocessor_config.json",
        )
    if (arrangement.get("longest_edge") or 0) > _LONGEST_EDGE:
        raise CheckpointError(
            f"preprocessor_config.json enlarges images to {arrangement['longest_edge']} pixels",
            f"give a longest_edge of at most {_LONGEST_EDGE}",
        )
    grid = side // token, side // token
    rule = TiledImage(**source.shared, **arrangement, tile=tile, tile_grid=grid)
    return msgspec.structs.replace(rule, markup=_markup(images.texts, rule, source.encode))


def _markup(texts: TileTexts, rule: TiledImage, encode: Callable[[str], Ids]) -> TileMarkup:
    numbers = range(1, rule.most_tiles_per_side + 1) if texts.tile else ()
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
