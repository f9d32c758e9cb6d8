"""The easy-VQA data set (MIT licence, PyPI package ``easy-vqa``) as views and questions."""

from __future__ import annotations

from functools import cache
from typing import Any

import easy_vqa
import numpy as np
from PIL import Image

from tools.pocket.fonts import Split
from tools.pocket.views import OBJECT, SIDE, Objects, View
from tools.pocket.vocabulary import COLOR_NAMES, SHAPE_NAMES

_FOREGROUND = 30  # least difference from the corner's colour, summed over channels


@cache
def questions(split: Split) -> dict[int, list[tuple[str, str]]]:
    """Return question-answer pairs by image number."""
    load = {"train": easy_vqa.get_train_questions, "test": easy_vqa.get_test_questions}[split]
    pairs: dict[int, list[tuple[str, str]]] = {}
    for question, answer, image in zip(*load(), strict=True):
        pairs.setdefault(int(image), []).append((question, answer))
    return pairs


@cache
def image_paths(split: Split) -> dict[int, str]:
    """Return image files by number."""
    load = {"train": easy_vqa.get_train_image_paths, "test": easy_vqa.get_test_image_paths}[split]
    return dict(load())


def load_view(split: Split, number: int) -> View:
    """Return an image at the views' size; its one object is derived from its answers."""
    image = Image.open(image_paths(split)[number]).convert("RGB")
    pixels = np.asarray(image, np.int16)
    shape = np.abs(pixels - pixels[0, 0]).sum(axis=-1) > _FOREGROUND
    large = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return View(np.asarray(large), _single_object(shape, questions(split)[number]))


def _single_object(shape: Any, pairs: list[tuple[str, str]]) -> Objects:
    answers = {answer for _, answer in pairs}
    named = {word for question, _ in pairs for word in question.strip("?").split()}
    colors = answers.intersection(COLOR_NAMES) or _asked(named, COLOR_NAMES, pairs)
    shapes = answers.intersection(SHAPE_NAMES) or _asked(named, SHAPE_NAMES, pairs)
    if not (shape.any() and len(colors) == len(shapes) == 1):
        return np.empty(0, OBJECT)
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    scale = SIDE / len(shape)
    x0, x1 = columns[0] * scale, (columns[-1] + 1) * scale
    y0, y1 = rows[0] * scale, (rows[-1] + 1) * scale
    color, kind = COLOR_NAMES.index(colors.pop()), SHAPE_NAMES.index(shapes.pop())
    found = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 1.0, color, kind, -1)
    return np.array([found], OBJECT)


def _asked(named: set[str], words: tuple[str, ...], pairs: list[tuple[str, str]]) -> set[str]:
    """Return the words that an open question takes for granted, as in "what is the red shape?"."""
    open_questions = [question for question, answer in pairs if question.startswith("what")]
    return {
        word
        for word in named.intersection(words)
        for question in open_questions
        if word in question
    }
