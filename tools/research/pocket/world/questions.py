"""Questions about a view, with answers of one to four tokens, and its caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from tools.research.pocket.world.labels import place_index, readable
from tools.research.pocket.world.model_input import INPUT_SIDE
from tools.research.pocket.world.views import Objects
from tools.research.pocket.world.vocabulary import (
    COLOR_NAMES,
    DISTRACTOR_SHAPES,
    GENERAL,
    LETTERS,
    OBJECT_COLORS,
    OBJECT_SHAPES,
    PLACES,
    SHAPE_NAMES,
    TEXTS,
    WHITE,
)

Kind = Literal[
    "read", "guess", "where", "color", "shape", "count", "exists", "largest", "caption", "easy"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: How much an answer's tokens count. "guess" is a text too small to read: it teaches where to look.
WEIGHTS: dict[Kind, float] = {
    "read": 1.0,
    "guess": 0.15,
    "where": 0.8,
    "color": 0.8,
    "shape": 0.8,
    "count": 0.5,
    "exists": 0.6,
    "largest": 0.8,
    "caption": 0.35,
    "easy": 0.6,
}
#: x, y, w, h in pixels of the model's input.
Box: TypeAlias = tuple[float, float, float, float]

_WHOLE, _MOSTLY, _PARTLY = 0.9, 0.6, 0.5
_LARGEST_COUNT = 5
_CLEARLY_LARGER = 1.15
_LISTED = 5


@dataclass(frozen=True)
class Question:
    """A question with its answer, and where the evidence lies, if at one place."""

    text: str
    answer: str
    kind: Kind
    box: Box | None = None


def sample_questions(
    rng: np.random.Generator, objects: Objects, *, reading: int = 4, other_kinds: int = 4
) -> list[Question]:
    """Return up to ``reading`` questions on texts and ``other_kinds`` of other kinds, shuffled."""
    asked = reading_questions(rng, objects, reading)
    makers = [_where, _attribute, _exists, _count, _largest, _exists, _caption]
    for maker in rng.permutation(np.array(makers))[:other_kinds]:
        question = maker(rng, objects)
        if question is not None:
            asked.append(question)
    return [asked[i] for i in rng.permutation(len(asked))]


def reading_questions(rng: np.random.Generator, objects: Objects, limit: int) -> list[Question]:
    """Ask for the letters or words on up to ``limit`` objects that are seen whole."""
    colored = objects[objects["color"] != WHITE]
    whole = colored[(colored["visible"] > _WHOLE) & (colored["text"] >= 0)]
    return [_reading_question(item) for item in rng.permutation(whole)[:limit]]


def _reading_question(item: Any) -> Question:
    noun = "letter" if item["text"] < len(LETTERS) else "word"
    kind: Kind = "read" if readable(np.array([item]))[0] else "guess"
    return Question(f"What {noun} is on the {name(item)}?", TEXTS[item["text"]], kind, _box(item))


def name(item: Any) -> str:
    """Return what an object is called, such as "red square"."""
    return f"{COLOR_NAMES[item['color']]} {SHAPE_NAMES[item['shape']]}"


def place(x: float, y: float) -> str:
    """Return the ninth of the input in which a point lies, such as "top left"."""
    return PLACES[int(place_index(x, y))]


def _where(rng: np.random.Generator, objects: Objects) -> Question | None:
    visible = objects[objects["visible"] > _MOSTLY]
    if not len(visible):
        return None
    item = visible[rng.integers(len(visible))]
    return Question(f"Where is the {name(item)}?", place(item["x"], item["y"]), "where", _box(item))


def _attribute(rng: np.random.Generator, objects: Objects) -> Question | None:
    """Ask for the colour of the only object of a shape, or the other way round."""
    colored = objects[objects["color"] != WHITE]
    asked, given = ("color", "shape") if rng.random() < 0.5 else ("shape", "color")
    values, counts = np.unique(colored[given], return_counts=True)
    single = values[counts == 1]
    if not len(single):
        return None
    item = colored[colored[given] == rng.choice(single)][0]
    if item["visible"] < _MOSTLY:
        return None
    color, shape = name(item).split()
    if asked == "color":
        return Question(f"What color is the {shape}?", color, "color", _box(item))
    return Question(f"What shape is the {color} object?", shape, "shape", _box(item))


def _exists(rng: np.random.Generator, objects: Objects) -> Question | None:
    """Ask for presence: every other time of something absent that resembles something present."""
    visible = objects[objects["visible"] > _MOSTLY]
    if len(visible) and rng.random() < 0.5:
        item = visible[rng.integers(len(visible))]
        return Question(f"Is there a {name(item)}?", "yes", "exists", _box(item))
    present = {name(item) for item in objects}
    color, shape = rng.choice(OBJECT_COLORS), rng.choice(OBJECT_SHAPES)
    if rng.random() < 0.15:
        color, shape = "white", rng.choice(DISTRACTOR_SHAPES)
    elif len(visible) and rng.random() < 0.6:
        near = name(visible[rng.integers(len(visible))]).split()
        color, shape = (near[0], shape) if rng.random() < 0.5 else (color, near[1])
    wrong = (color == "white") != (shape in DISTRACTOR_SHAPES) or shape == "rectangle"
    if wrong or f"{color} {shape}" in present:
        return None
    return Question(f"Is there a {color} {shape}?", "no", "exists")


def _count(rng: np.random.Generator, objects: Objects) -> Question | None:
    colored = objects[objects["color"] != WHITE]
    if np.any(colored["visible"] < _MOSTLY):
        return None
    if rng.random() < 0.5:
        color = int(rng.integers(len(OBJECT_COLORS)))
        number, noun = np.sum(colored["color"] == color), f"{COLOR_NAMES[color]} objects"
    else:
        shape = int(rng.integers(len(OBJECT_SHAPES)))
        number, noun = np.sum(colored["shape"] == shape), _plural(SHAPE_NAMES[shape])
    if number > _LARGEST_COUNT:
        return None
    return Question(f"How many {noun} are there?", str(number), "count")


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("s") else "s")


def _largest(rng: np.random.Generator, objects: Objects) -> Question | None:
    """Ask for the largest object, if there is no doubt; also for its letter, if that is legible."""
    colored = objects[objects["color"] != WHITE]
    order = np.argsort(-np.sqrt(colored["w"] * colored["h"]))
    if not len(order) or colored[order[0]]["visible"] < _WHOLE:
        return None
    item = colored[order[0]]
    if len(order) > 1:
        second = colored[order[1]]
        ratio = np.sqrt(item["w"] * item["h"] / (second["w"] * second["h"]))
        if ratio < _CLEARLY_LARGER:
            return None
    legible = readable(np.array([item]))[0] and item["text"] < len(LETTERS)
    if legible and rng.random() < 0.5:
        text = "Which object is the largest, and which letter is on it?"
        return Question(text, f"{name(item)}, {TEXTS[item['text']]}", "largest", _box(item))
    return Question("Which object is the largest?", name(item), "largest", _box(item))


def _caption(rng: np.random.Generator, objects: Objects) -> Question:
    return Question(GENERAL, caption(objects), "caption")


def caption(objects: Objects) -> str:
    """Describe a view: distractors and number of objects, then the first few in reading order."""
    visible = objects[objects["visible"] > _PARTLY]
    colored = visible[visible["color"] != WHITE]
    order = np.lexsort((colored["x"], (colored["y"] * 3 // INPUT_SIDE)))
    salient = [f"a {SHAPE_NAMES[item['shape']]}" for item in visible if item["color"] == WHITE]
    start = ", ".join([*sorted(salient), _quantity(len(colored))])
    listed = ", ".join(name(colored[i]) for i in order[:_LISTED])
    return f"{start}: {listed}" if listed else start


def _quantity(count: int) -> str:
    if count < 2:
        return ("no objects", "one object")[count]
    return "few objects" if count < 5 else "several objects" if count < 12 else "many objects"


def _box(item: Any) -> Box:
    return float(item["x"]), float(item["y"]), float(item["w"]), float(item["h"])
