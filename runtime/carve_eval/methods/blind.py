"""Crops that look at nothing: what a closer look is worth wherever it goes."""

from __future__ import annotations

import math
import random
from abc import abstractmethod

from carve_eval.benchmarks.benchmark import Question
from carve_eval.methods.cropped import Cropped, Glance
from carve_eval.methods.method import Picture
from carve_models.errors import SettingsError
from carve_models.settings import Settings


class Blind(Cropped):
    """A crop with the image's aspect ratio and the share ``mask_top_p`` of its pixels."""

    uses = Cropped.uses | {"mask_top_p"}

    def require(self, settings: Settings) -> None:
        """Refuse a share that is to follow from the attention, which is not read."""
        if isinstance(settings.mask_top_p, str):
            raise SettingsError(
                f"this crop reads no attention, and mask_top_p is {settings.mask_top_p!r}",
                'give a number, as in "crop=random mask_top_p=0.2"',
            )

    def look(self, picture: Picture, question: Question, settings: Settings) -> Glance:
        """Answer plainly, and place the crop."""
        limit = settings.max_new_tokens
        plain = picture.session().plain(question.prompt, max_new_tokens=limit).answer
        scale = math.sqrt(float(settings.mask_top_p))
        height, width = picture.pixels.shape[:2]
        w, h = (max(round(side * scale), 1) for side in (width, height))
        x, y = self.place(question, width - w, height - h)
        return Glance(plain, (x, y, x + w, y + h), (x + w / 2, y + h / 2))

    @abstractmethod
    def place(self, question: Question, right: int, down: int) -> tuple[int, int]:
        """Return the crop's corner (x, y), at most ``right`` and ``down``."""


class Centre(Blind):
    """The middle of the image."""

    def place(self, question: Question, right: int, down: int) -> tuple[int, int]:
        """Return half of each."""
        return right // 2, down // 2


class Random(Blind):
    """Anywhere: the same place for the same question each time."""

    def place(self, question: Question, right: int, down: int) -> tuple[int, int]:
        """Draw it from the question's name."""
        chance = random.Random(f"{question.id}: {question.prompt}")
        return chance.randint(0, right), chance.randint(0, down)
