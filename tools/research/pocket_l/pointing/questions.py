"""Questions about letters in pocket's scenes, scene by scene, with every object's place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.research.pocket.world.cases import Case, Part, by_picture, cases
from tools.research.pocket.world.model_input import GRID
from tools.research.pocket.world.views import MAX_OBJECTS
from tools.research.pocket.world.vocabulary import LETTERS


@dataclass(frozen=True)
class SceneQuestions:
    """One scene and what is asked about it.

    Attributes:
        image: the picture, RGB.
        questions: "What letter is on the red square?", one or more.
        targets: (questions, 2) int64, row and column of the token on each target's centre.
        objects: (objects, 2) int64, the same of every object of the scene, targets included.
    """

    image: Image.Image
    questions: tuple[str, ...]
    targets: NDArray[np.int64]
    objects: NDArray[np.int64]


def scene_questions(part: Part, scenes: int, per_scene: int) -> Iterator[SceneQuestions]:
    """Yield a split of pocket's, with up to ``per_scene`` questions about each scene.

    Of the split's first ``scenes``, those without a letter on any object are left out.
    """
    for group in by_picture(cases(part, "small", scenes, per_picture=MAX_OBJECTS)):
        asked = [case for case in group if case.answer in LETTERS][:per_scene]
        if asked:
            questions = tuple(case.question for case in asked)
            yield SceneQuestions(group[0].image, questions, _tokens(asked), _tokens(group))


def _tokens(group: list[Case]) -> NDArray[np.int64]:
    places = [
        (case.target.y * GRID / case.image.height, case.target.x * GRID / case.image.width)
        for case in group
        if case.target is not None
    ]
    return np.array(places, np.float64).reshape(-1, 2).astype(np.int64)
