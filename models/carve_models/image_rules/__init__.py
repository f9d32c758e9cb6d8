"""What a bundle does to images: one class for each kind of image processor.

In: figures that the exporter reads off a checkpoint, or ``carve.json``, where the key ``kind``
tells the classes apart. Out: rules that answer for themselves what the vision encoder takes and
returns of an image, how many tokens that is, and how they are described. The order and the
arithmetic of the steps are those of Hugging Face's Pillow image processors; the steps themselves
are ``carve_runtime.images``. A new kind is one module here, one there, and one reader in
``carve_export.checkpoint.image_rules``.
"""

from __future__ import annotations

from typing import TypeAlias

from carve_models.image_rules.fixed import FixedImage
from carve_models.image_rules.native import NativeImage
from carve_models.image_rules.rule import Count, Ids, Index, Resample
from carve_models.image_rules.tiled import TiledImage, TileMarkup

ImageRule: TypeAlias = FixedImage | NativeImage | TiledImage

__all__ = [
    "Count",
    "FixedImage",
    "Ids",
    "ImageRule",
    "Index",
    "NativeImage",
    "Resample",
    "TileMarkup",
    "TiledImage",
]
