"""From an RGB array to the vision encoder's inputs, and where in the image the token map lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage
from carve_runtime.images.fixed import preprocess_fixed
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.native import preprocess_native
from carve_runtime.images.picture import Picture, Pixels
from carve_runtime.images.tiled import preprocess_tiled
from carve_runtime.method.geometry import RGB

#: The steps of each kind of rule.
PREPROCESSING: dict[type[ImageRule], Callable[[Picture, Any], ModelInput]] = {
    FixedImage: preprocess_fixed,
    NativeImage: preprocess_native,
    TiledImage: preprocess_tiled,
}


def preprocess(image: RGB | Picture, rule: ImageRule) -> ModelInput:
    """Follow Hugging Face's Pillow image processors (``PilBackend``) step by step.

    Args:
        image: (H, W, 3) uint8, or a picture that need not exist in full.
        rule: the bundle's.
    """
    picture = Pixels(image) if isinstance(image, np.ndarray) else image
    return PREPROCESSING[type(rule)](picture, rule)
