"""Attention passes of a bundle about one image, through the runtime's own model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_runtime.decoder.model import Model, View, Work


def first_attention(
    model: Model, image: Image.Image, texts: Sequence[str]
) -> tuple[View, NDArray[np.float32]]:
    """Return an image as the model holds it, and the first step's attention to it.

    Args:
        model: the model.
        image: RGB.
        texts: questions or instructions; the bundle's suffix follows each.

    Returns:
        The image, and (texts, L, N) attention of all tapped layers.
    """
    room = max(model.room(text, pair=False, max_new_tokens=1) for text in texts)
    view = model.look(np.asarray(image), room, Work())
    rows = [
        model.answer(view, text, stage="question", max_new_tokens=1, work=Work()).attention[0]
        for text in texts
    ]
    return view, np.stack(rows)
