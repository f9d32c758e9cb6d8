"""The overview of a question about several images."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from carve_runtime.pictures import (
    Refinement,
    draw_panels,
    heat_over,
    limits_of,
    regions_picture,
    small_enough,
)


def draw_several(
    parts: Sequence[Refinement], plain_answer: str | None, answer: str, question: str = ""
) -> Image.Image:
    """Return a row for each image: original | contrast | kept regions | refined image.

    The maps share one scale of colours, as they share one threshold.

    Args:
        parts: what was found in each image.
        plain_answer: without CARVE.
        answer: through CARVE.
        question: is written above, with the answers.
    """
    small = [small_enough(part) for part in parts]
    lows, highs = zip(*(limits_of(part.saliency) for part in small), strict=True)
    limits = min(lows), max(highs)
    rows = [
        [
            (f"image {number}", part.image),
            ("contrast", heat_over(part.image, part.saliency, limits)),
            ("kept regions" if part.bbox else "nothing kept", regions_picture(part)),
            ("refined", part.refined_image),
        ]
        for number, part in enumerate(small, start=1)
    ]
    answers = f"plain: {plain_answer}, CARVE: {answer}"
    return draw_panels(rows, f"{question}  {answers}" if question else answers)
