"""The easy-VQA data set (MIT licence, PyPI package ``easy-vqa``) as views and questions."""

from __future__ import annotations

from functools import cache
from typing import Any

import easy_vqa
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.research.pocket.world.backgrounds import CANVAS
from tools.research.pocket.world.fonts import Split
from tools.research.pocket.world.render import Window
from tools.research.pocket.world.views import (
    OBJECT,
    SIDE,
    Objects,
    View,
    refined_window,
    shrink,
    visible_share,
)
from tools.research.pocket.world.vocabulary import COLOR_NAMES, SHAPE_NAMES

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


def load_pair(rng: np.random.Generator, split: Split, number: int) -> list[View]:
    """Return an image at the views' size, and a refined crop of it.

    The image's one object is derived from its answers. Half of the crops are near it.
    """
    image = Image.open(image_paths(split)[number]).convert("RGB")
    pixels = np.asarray(image, np.int16)
    shape = np.abs(pixels - pixels[0, 0]).sum(axis=-1) > _FOREGROUND
    objects = _single_object(shape, questions(split)[number])
    return [View(shrink(image), objects), _refined_crop(rng, image, objects)]


def _refined_crop(rng: np.random.Generator, image: Image.Image, objects: Objects) -> View:
    x, y = rng.uniform(0, CANVAS, 2)
    if len(objects) and rng.random() < 0.5:
        x, y = objects["x"][0] * CANVAS / SIDE, objects["y"][0] * CANVAS / SIDE
    window, mask = refined_window(rng, x, y)
    large = image.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC).crop(window)
    crop = Image.fromarray(np.asarray(large) * mask[..., None])
    return View(shrink(crop), _within(objects, window, mask))


def _within(objects: Objects, window: Window, mask: NDArray[np.bool_]) -> Objects:
    """Return what a window of the canvas shows of a view's objects."""
    shown = objects.copy()
    scale = CANVAS / SIDE
    for item in shown:
        x, y, w, h = (float(item[field]) * scale for field in ("x", "y", "w", "h"))
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        item["visible"] = visible_share(box, window, mask)
    for start, stop, center, size in ((0, 2, "x", "w"), (1, 3, "y", "h")):
        magnified = CANVAS / (window[stop] - window[start])
        shown[center] = (shown[center] - window[start] / scale) * magnified
        shown[size] *= magnified
    return np.asarray(shown[shown["visible"] > 0])


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
    item = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 1.0, color, kind, -1)
    return np.array([item], OBJECT)


def _asked(named: set[str], words: tuple[str, ...], pairs: list[tuple[str, str]]) -> set[str]:
    """Return the words that an open question takes for granted, as in "what is the red shape?"."""
    open_questions = [question for question, answer in pairs if question.startswith("what")]
    return {
        word
        for word in named.intersection(words)
        for question in open_questions
        if word in question
    }
