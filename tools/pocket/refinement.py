"""CARVE over many cases at once, with the runtime's own contrast, regions and refinement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from carve_models.settings import Settings
from carve_runtime.contrast import fuse_contrast
from carve_runtime.refine import refine_image
from carve_runtime.regions import select_regions
from tools.pocket.architecture import GRID, PATCH
from tools.pocket.cases import Case
from tools.pocket.inference import Checkpoint, Reply
from tools.pocket.scenes import Item
from tools.pocket.vocabulary import GENERAL

#: Side of the oracle's crop, as a multiple of the target's.
_ORACLE = 2.2
#: Steps of the general pass: no answer has more tokens.
_GENERAL_STEPS = 5


class Looked:
    """Cases with the attention of both passes; settings are tried without asking again."""

    def __init__(self, checkpoint: Checkpoint, cases: Sequence[Case]) -> None:
        """Run the question pass of every case, and the general pass of every picture."""
        self.cases, self._checkpoint = cases, checkpoint
        images = [[case.image] for case in cases]
        self.plain = checkpoint.ask(images, [case.question for case in cases], attention=True)
        pictures = list({id(case.image): case.image for case in cases}.values())
        general = checkpoint.ask(
            [[picture] for picture in pictures],
            [GENERAL] * len(pictures),
            attention=True,
            max_new_tokens=_GENERAL_STEPS,
        )
        by_picture = dict(zip(map(id, pictures), general, strict=True))
        self.general: list[Reply] = [by_picture[id(case.image)] for case in cases]

    def saliency(self, index: int, settings: Settings, contrast: bool = True) -> np.ndarray:
        """Return the saliency map of a case, (H, W); without contrast the question's alone."""
        return self._fuse(index, self.cases[index].image.size, settings, contrast)

    def _fuse(
        self, index: int, size: tuple[int, int], settings: Settings, contrast: bool
    ) -> np.ndarray:
        question = self.plain[index].attention
        general = self.general[index].attention
        return fuse_contrast(
            question,
            general if contrast else np.ones_like(question),
            grid=(GRID, GRID),
            image_size=size,
            layers=settings.layers,
            steps=settings.steps,
            regularizer=settings.regularizer if contrast else 0.0,
        )

    def points_at_target(self, settings: Settings, contrast: bool = True) -> float:
        """Return how often the strongest token is the target's or next to it."""
        hits = [
            self._hits(index, case.target, settings, contrast)
            for index, case in enumerate(self.cases)
            if case.target is not None
        ]
        return float(np.mean(hits))

    def _hits(self, index: int, target: Item, settings: Settings, contrast: bool) -> bool:
        saliency = self._fuse(index, (GRID, GRID), settings, contrast)
        row, column = np.unravel_index(saliency.argmax(), saliency.shape)
        token = self.cases[index].image.width / GRID
        down, across = target.y / token - row - 0.5, target.x / token - column - 0.5
        return bool(max(abs(down), abs(across)) <= 1)

    def carve(self, settings: Settings, contrast: bool = True) -> list[str]:
        """Return the final answers."""
        refined = []
        for index, case in enumerate(self.cases):
            mask = select_regions(
                self.saliency(index, settings, contrast),
                mask_top_p=settings.mask_top_p,
                max_regions=settings.max_regions,
                strategy=settings.strategy,
                rule=settings.rule,
            )
            pixels, _ = refine_image(np.asarray(case.image), mask)
            refined.append(Image.fromarray(pixels))
        return self.answer_refined(refined, settings)

    def oracle(self, settings: Settings) -> list[str]:
        """Return the answers to a square crop around the target."""
        crops = []
        for case in self.cases:
            if case.target is None:
                raise ValueError("an oracle crop needs a target")
            crops.append(case.image.crop(_oracle_box(case.target, case.image.size)))
        return self.answer_refined(crops, settings)

    def answer_refined(self, refined: Sequence[Image.Image], settings: Settings) -> list[str]:
        """Ask about the refined images, alone or as pairs."""
        pair = settings.final_prompt == "pair"
        images = [
            [case.image, crop] if pair else [crop]
            for case, crop in zip(self.cases, refined, strict=True)
        ]
        replies = self._checkpoint.ask(images, [case.question for case in self.cases])
        return [reply.text for reply in replies]

    def right(self, answers: Sequence[str]) -> list[bool]:
        """Return which answers are right."""
        return [text == case.answer for text, case in zip(answers, self.cases, strict=True)]


def _oracle_box(target: Item, size: tuple[int, int]) -> tuple[int, int, int, int]:
    side = round(max(target.side * _ORACLE, 4 * PATCH))
    left = int(np.clip(target.x - side / 2, 0, size[0] - side))
    top = int(np.clip(target.y - side / 2, 0, size[1] - side))
    return left, top, left + side, top + side
