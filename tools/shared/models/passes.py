"""Attention passes of a bundle about one image, through the runtime's own model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.model import Model
from carve_runtime.usage import Usage


def first_attention(
    model: Model, image: Image.Image, texts: Sequence[str]
) -> tuple[EncodedImages, NDArray[np.float32]]:
    """Return an image as the model holds it, and the first step's attention to it.

    Args:
        model: the model.
        image: RGB.
        texts: questions or instructions; the bundle's suffix follows each.

    Returns:
        The image, and (texts, L, N) attention of all tapped layers.
    """
    requests = [model.requests.plain(text, max_new_tokens=1) for text in texts]
    budget = max((request.budget for request in requests), key=lambda budget: budget.reserve)
    encoded = model.encode_images([np.asarray(image)], budget, Usage())
    rows = [
        model.answer(encoded, request.prompt.single, "question", request).attention[0]
        for request in requests
    ]
    return encoded, np.stack(rows)
