"""CARVE itself."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from carve_eval.answers import Answer
from carve_eval.benchmarks.benchmark import Question
from carve_eval.methods.method import Picture
from carve_models.settings import Settings


class Carved:
    """The contrast of two attention maps (``docs/method.md``)."""

    uses = frozenset({"variant", *(field.name for field in fields(Settings))})

    def require(self, settings: Settings) -> None:
        """Accept all settings: they were checked when they were made."""

    def ask(self, picture: Picture, question: Question, settings: Settings) -> Answer:
        """Ask; where the passes skip layers or pixels, the plain answer takes one of its own."""
        session = picture.session(settings.scout_pixels)
        result = session.ask(question.prompt, **vars(settings))
        plain, probability = result.plain_answer, result.plain_probability
        if plain is None or settings.scout_pixels is not None:
            limit = settings.max_new_tokens
            plain = picture.session().plain(question.prompt, max_new_tokens=limit).answer
            probability = None
        return Answer(
            id=question.id,
            plain=plain,
            refined=result.answer,
            box=result.bbox,
            peak=_peak(result.saliency) if question.box else None,
            entropy=result.entropy,
            probability=probability,
        )


def _peak(saliency: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the centre (x, y) of the pixel where an (H, W) map is largest, if it is anywhere."""
    if np.isnan(saliency).all():
        return None
    row, column = np.unravel_index(np.nanargmax(saliency), saliency.shape)
    return float(column) + 0.5, float(row) + 0.5
