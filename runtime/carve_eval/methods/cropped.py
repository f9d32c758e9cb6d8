"""Baselines that cut a box out of the image and ask again about both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from carve_eval.answers import Answer
from carve_eval.benchmarks.benchmark import Question
from carve_eval.methods.method import Picture
from carve_models.settings import Settings
from carve_runtime import refine_image
from carve_runtime.method.geometry import RGB, Box


@dataclass(frozen=True)
class Glance:
    """What comes before the closer look.

    Attributes:
        plain: the plain answer.
        box: where to look closer, (x0, y0, x1, y1) in pixels.
        peak: the single place (x, y) that matters most.
        entropy: of the attention, in nats, if it was read.
        probability: of the plain answer, if it is known.
    """

    plain: str
    box: Box
    peak: tuple[float, float]
    entropy: float | None = None
    probability: float | None = None


class Cropped(ABC):
    """A method whose closer look is a box; it is magnified as CARVE's crop is."""

    #: What the closer look is made with, in every method of this kind.
    uses = frozenset({"max_new_tokens", "max_refined_pixels", "final_prompt"})

    @abstractmethod
    def require(self, settings: Settings) -> None:
        """Raise :class:`~carve_models.errors.SettingsError` where settings do not suit it."""

    @abstractmethod
    def look(self, picture: Picture, question: Question, settings: Settings) -> Glance:
        """Answer plainly, and choose the box."""

    def ask(self, picture: Picture, question: Question, settings: Settings) -> Answer:
        """Choose a box, and ask again about the pair, or about the crop alone."""
        glance = self.look(picture, question, settings)
        crop = _magnified(picture.pixels, glance.box, settings.max_refined_pixels)
        limit = settings.max_new_tokens
        if settings.final_prompt == "pair":
            session = picture.session()
            final = session.plain(question.prompt, refined=crop, max_new_tokens=limit)
        else:
            final = picture.vlm.plain(crop, question.prompt, max_new_tokens=limit)
        return Answer(
            id=question.id,
            plain=glance.plain,
            refined=final.answer,
            box=glance.box,
            peak=glance.peak if question.box else None,
            entropy=glance.entropy,
            probability=glance.probability,
        )


def _magnified(pixels: RGB, box: Box, max_refined_pixels: int | None) -> RGB:
    x0, y0, x1, y1 = box
    mask = np.zeros(pixels.shape[:2], bool)
    mask[y0:y1, x0:x1] = True
    crop, _ = refine_image(pixels, mask, max_refined_pixels=max_refined_pixels)
    return crop
