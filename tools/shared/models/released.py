"""The released code's way to answer: v4, in PyTorch, step by step as it does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from carve_runtime import refine_image, select_regions

Answer = TypeVar("Answer", covariant=True)

_REGULARIZER = 1e-8


class AttendingModel(Protocol[Answer]):
    """A model with eager attention."""

    def attend_uncached(self, images: Sequence[Image.Image], text: str, steps: int) -> list[Any]:
        """Return each step's attention to the image, (layers, N): all is run again every time."""
        ...

    def generate(self, images: Sequence[Image.Image], question: str, tokens: int) -> Answer:
        """Answer with exactly ``tokens`` tokens, with a cache."""
        ...


def released(
    model: AttendingModel[Answer],
    image: Image.Image,
    question: str,
    general: str,
    general_steps: int,
    layers: Sequence[int],
    answer_tokens: int,
) -> Answer:
    """Answer as the released code does; the lengths of answer and general pass are forced."""
    asked = model.attend_uncached([image], question, answer_tokens)
    described = model.attend_uncached([image], general, general_steps)
    size, side = image.size, int(asked[0].shape[-1] ** 0.5)
    total = np.zeros(size[::-1])
    for step, (q, g) in enumerate(zip(asked, described, strict=False)):
        for layer in layers:
            contrast = (q[layer] / (g[layer] + _REGULARIZER)).reshape(side, side)
            resized = Image.fromarray(contrast).resize(size, Image.Resampling.BILINEAR)
            total += (step + 1) * np.asarray(resized)
    mask = select_regions(total)
    refined, _ = refine_image(image, mask)
    pair = [image, Image.fromarray(refined)]
    return model.generate(pair, question, answer_tokens)
