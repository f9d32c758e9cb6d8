"""What an answer can carry besides its text, for those who ask for it: pictures, as PNG."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from carve_runtime.pictures import draw_result, encode_picture
from carve_runtime.result import CarveResult

_WHITE = np.iinfo(np.uint8).max


def _png(picture: Image.Image) -> str:
    return base64.b64encode(encode_picture(picture)).decode("ascii")


def _mask(result: CarveResult) -> str:
    """(H, W) in one bit: white is kept."""
    return _png(Image.fromarray(result.mask))


def _saliency(result: CarveResult) -> dict[str, Any]:
    """Grey and alpha, (H, W) in 8 bits each, and what black and white stand for.

    The map is ``low + (high - low) * grey / 255`` where alpha is 255; where it is 0, the model saw
    nothing.
    """
    saliency = result.saliency
    seen = np.isfinite(saliency)
    if not seen.any():
        low = high = None
        grey = np.zeros(saliency.shape, np.uint8)
    else:
        low, high = float(saliency[seen].min()), float(saliency[seen].max())
        span = max(high - low, np.finfo(np.float64).tiny)
        share = np.where(seen, saliency - low, 0.0) / span
        grey = np.rint(share * _WHITE).astype(np.uint8)
    pixels = np.stack([grey, np.where(seen, _WHITE, 0).astype(np.uint8)], axis=-1)
    return {"png": _png(Image.fromarray(pixels, "LA")), "low": low, "high": high}


def _refined_image(result: CarveResult) -> str:
    """What the second answer is about."""
    return _png(Image.fromarray(result.refined_image))


def _overview(result: CarveResult) -> str:
    """Original, contrast, kept regions and refined image in a row."""
    return _png(draw_result(result))


#: By the names that ``carve.include`` takes; strings are PNG in base64.
EXTRAS: dict[str, Callable[[CarveResult], Any]] = {
    "mask": _mask,
    "overview": _overview,
    "refined_image": _refined_image,
    "saliency": _saliency,
}
