"""From an RGB array to the vision encoder's inputs, and where in the image the token map lies."""

from __future__ import annotations

from carve_models.errors import ImageError
from carve_models.image_rules import FixedImage, ImageRule, NativeImage
from carve_runtime.images.fixed import see_fixed
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.native import see_native
from carve_runtime.images.tiled import see_tiles
from carve_runtime.method.geometry import RGB


def require_aspect(image: RGB, spec: ImageRule) -> None:
    """Raise :class:`ImageError` if the sides' ratio is beyond ``spec.max_aspect_ratio``."""
    height, width = image.shape[:2]
    ratio = max(height, width) / min(height, width)
    if ratio > spec.max_aspect_ratio:
        raise ImageError(
            f"the image's sides, {width} x {height} pixels, have a ratio of {ratio:.0f}",
            f"crop the image to a ratio of at most {spec.max_aspect_ratio:g}",
        )


def preprocess(image: RGB, spec: ImageRule) -> ModelInput:
    """Follow Hugging Face's Pillow image processors (``PilBackend``) step by step.

    Args:
        image: (H, W, 3) uint8.
        spec: the bundle's rules.
    """
    if isinstance(spec, FixedImage):
        return see_fixed(image, spec)
    if isinstance(spec, NativeImage):
        return see_native(image, spec)
    return see_tiles(image, spec)
