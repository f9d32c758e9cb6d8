"""The development and test splits: full pictures with questions, made from fixed seeds.

Fonts and backgrounds are those that training never saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, Protocol, TypeVar

import numpy as np
from PIL import Image

from tools.research.pocket.world.augment import augment
from tools.research.pocket.world.easy import image_paths
from tools.research.pocket.world.easy import questions as easy_questions
from tools.research.pocket.world.model_input import INPUT_SIDE
from tools.research.pocket.world.questions import Kind, sample_questions
from tools.research.pocket.world.render import render
from tools.research.pocket.world.scenes import Item, Scene
from tools.research.pocket.world.views import SIDE, large_scene, small_scene, whole_view
from tools.research.pocket.world.vocabulary import COLOR_NAMES, LETTERS, SHAPE_NAMES

Part = Literal["dev", "test"]
#: "small" and "large" ask for texts on small and large objects, "distractor" on small ones among
#: two or three distractors, "general" asks the other questions on both.
Group = Literal["small", "large", "distractor", "general", "easy"]
GROUPS: tuple[Group, ...] = ("small", "large", "distractor", "general", "easy")
_SEEDS: dict[Part, int] = {"dev": 9001, "test": 7311}
_MIDDLE = ((SIDE - INPUT_SIDE) // 2,) * 2


class Pictured(Protocol):
    """Something that is about a picture."""

    @property
    def image(self) -> Image.Image:
        """The picture."""


_Asked = TypeVar("_Asked", bound=Pictured)


@dataclass(frozen=True)
class Case:
    """One question about one picture.

    Attributes:
        image: the picture, RGB.
        question: what is asked.
        answer: the right answer.
        group: the group of the split.
        kind: the kind of question.
        target: the object asked for, in pixels of the picture; ``None`` if it is not one object.
        objects: number of objects in the picture.
        distractors: number of distractors.
    """

    image: Image.Image
    question: str
    answer: str
    group: Group
    kind: Kind
    target: Item | None
    objects: int
    distractors: int


def cases(part: Part, group: Group, pictures: int, per_picture: int = 3) -> Iterator[Case]:
    """Yield the questions of a group, up to ``per_picture`` for each of its first pictures."""
    if group == "easy":
        yield from _easy_cases(part, pictures, per_picture)
        return
    for index in range(pictures):
        rng = np.random.default_rng([_SEEDS[part], GROUPS.index(group), index])
        scene = _scene(rng, group, index)
        image = render(scene)
        if group == "general":
            yield from _general_cases(rng, scene, image, per_picture)
            continue
        objects = scene.objects
        for pick in rng.permutation(len(objects))[:per_picture]:
            item = objects[pick]
            noun = "letter" if item.text in LETTERS else "word"
            question = f"What {noun} is on the {name(item)}?"
            yield _case(scene, image, question, item.text, group, "read", item)


def by_picture(asked: Iterable[_Asked]) -> Iterator[list[_Asked]]:
    """Yield cases, or the like, in groups that share a picture; those of one are in a row."""
    for _, group in groupby(asked, key=lambda case: id(case.image)):
        yield list(group)


def name(item: Item) -> str:
    """Return what an item is called, such as "red square"."""
    return f"{COLOR_NAMES[item.color]} {SHAPE_NAMES[item.shape]}"


def _scene(rng: np.random.Generator, group: Group, index: int) -> Scene:
    if group == "large" or (group == "general" and index % 2):
        return large_scene(rng, "test")
    distractors = int(rng.integers(2, 4)) if group == "distractor" else None
    return small_scene(rng, "test", distractors)


def _general_cases(
    rng: np.random.Generator, scene: Scene, image: Image.Image, count: int
) -> Iterator[Case]:
    view = augment(rng, whole_view(scene), _MIDDLE)
    questions = sample_questions(rng, view.objects, reading=0, other_kinds=7)
    for question in [question for question in questions if question.kind != "caption"][:count]:
        yield _case(scene, image, question.text, question.answer, "general", question.kind, None)


def _case(
    scene: Scene,
    image: Image.Image,
    question: str,
    answer: str,
    group: Group,
    kind: Kind,
    target: Item | None,
) -> Case:
    objects = len(scene.objects)
    extra = len(scene.items) - objects
    return Case(image, question, answer, group, kind, target, objects, extra)


def _easy_cases(part: Part, pictures: int, per_picture: int) -> Iterator[Case]:
    """Yield easy-VQA's own test questions; its test images are split in two by number."""
    numbers = [n for n in sorted(image_paths("test")) if (n % 4 == 0) == (part == "dev")]
    for number in numbers[:pictures]:
        image = Image.open(image_paths("test")[number]).convert("RGB")
        for question, answer in easy_questions("test").get(number, [])[:per_picture]:
            yield Case(image, question, answer, "easy", "easy", None, 1, 0)
