"""What the model sees of one image, and the arithmetic that every kind of image shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models.image_rules import ImageRule
from carve_models.interface import FEATURE
from carve_runtime.method.geometry import RGB, Window


@dataclass(frozen=True)
class ModelInput:
    """One image, ready for the vision encoder and for a prompt.

    Attributes:
        feeds: inputs of the vision encoder by name; ``pixel_values`` float32 among them.
        ids: (S,) int64, what the image contributes to a prompt: :data:`FEATURE` for each image
            token, in the encoder's order, and token ids between them.
        map_tokens: (rows * columns,) int64, which of ``ids`` form the attention map, in raster
            order.
        grid: (rows, columns) of the map.
        window: the part of the image that the map covers.
        times: where each of several moments stands on the time axis of M-RoPE, from the first on;
            their tokens follow each other, a grid for each.
    """

    feeds: Mapping[str, NDArray[Any]]
    ids: NDArray[np.int64]
    map_tokens: NDArray[np.int64]
    grid: tuple[int, int]
    window: Window
    times: tuple[int, ...] = (0,)


def features_only(count: int) -> NDArray[np.int64]:
    """Return the ids of an image that is nothing but ``count`` image tokens."""
    return np.full(count, FEATURE, np.int64)


def levels(rule: ImageRule) -> NDArray[np.float32]:
    """Return what each byte becomes in each channel, (256, 3).

    Bytes are rescaled; then the mean is subtracted, and divided by the deviation.
    """
    values = np.arange(np.iinfo(np.uint8).max + 1, dtype=np.float64) * rule.rescale_factor
    single = np.repeat(values.astype(np.float32)[:, None], 3, axis=1)
    if rule.mean is None or rule.std is None:
        return single
    mean, std = np.asarray(rule.mean, np.float32), np.asarray(rule.std, np.float32)
    return np.asarray(np.divide(single - mean, std))


def normalize(pixels: RGB, rule: ImageRule) -> NDArray[np.float32]:
    """Return (3, h, w) float32 of an (h, w, 3) image; see :func:`levels`."""
    values = levels(rule)
    return np.stack([values[:, color][pixels[..., color]] for color in range(3)])
