"""Random scenes: coloured shapes with text on them, and salient distractors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.research.pocket.world.backgrounds import BACKGROUNDS, CANVAS, TEXTURES
from tools.research.pocket.world.fonts import FONTS, Split
from tools.research.pocket.world.vocabulary import (
    DISTRACTOR_SHAPES,
    LETTERS,
    OBJECT_COLORS,
    OBJECT_SHAPES,
    SHAPE_NAMES,
    TEXTS,
    WHITE,
)

#: Sides of small objects in scene pixels: at 120 pixels for 640, their text cannot be read.
SMALL = (38, 64)
#: Sides of large objects, whose text can be read at once.
LARGE = (130, 220)
#: Sides of objects that fill a picture and can still be read: many texts in one view.
MEDIUM = (85, 165)
#: Sides of distractors.
DISTRACTOR = (70, 130)
_ATTEMPTS = 30
_MARGIN = 4
#: Least distance between two centres, as a share of the sum of the sides.
_SPACING = 0.56


@dataclass(frozen=True)
class Item:
    """One object or distractor.

    Attributes:
        x: centre in scene pixels.
        y: centre in scene pixels.
        side: width and height in scene pixels.
        color: index into ``COLOR_NAMES``.
        shape: index into ``SHAPE_NAMES``.
        text: what stands on it; several letters on a sign, nothing on a star or board.
        font: a name from ``FONTS``.
        texture: index of its texture.
        tint: added to its colour, RGB.
    """

    x: float
    y: float
    side: int
    color: int
    shape: int
    text: str
    font: str
    texture: int
    tint: tuple[float, ...]

    @property
    def is_distractor(self) -> bool:
        """Whether reading questions leave it out."""
        return SHAPE_NAMES[self.shape] in DISTRACTOR_SHAPES


@dataclass(frozen=True)
class Scene:
    """A background, and items in drawing order; no two share colour and shape.

    Attributes:
        items: objects and distractors.
        background: its index.
        split: decides fonts and backgrounds.
        shift: how far the background is moved to the left, in scene pixels; its mirror image
            follows it.
    """

    items: tuple[Item, ...]
    background: int
    split: Split
    shift: int = 0

    @property
    def objects(self) -> tuple[Item, ...]:
        """The items that are not distractors."""
        return tuple(item for item in self.items if not item.is_distractor)


def sample_scene(
    rng: np.random.Generator,
    split: Split,
    *,
    objects: int,
    sides: tuple[int, int],
    distractors: int = 0,
) -> Scene:
    """Draw a scene at random; crowded scenes may hold fewer items than asked for.

    Args:
        rng: source of randomness.
        split: decides fonts and backgrounds.
        objects: number of objects.
        sides: smallest and largest side of an object in scene pixels.
        distractors: number of distractors, at most one of each kind.
    """
    items: list[Item] = []
    for kind in rng.permutation(len(DISTRACTOR_SHAPES))[:distractors]:
        shape = SHAPE_NAMES.index(DISTRACTOR_SHAPES[kind])
        letters = rng.choice(LETTERS, rng.integers(1, 3), replace=False)
        text = "".join(letters) if DISTRACTOR_SHAPES[kind] == "sign" else ""
        _place(rng, split, items, DISTRACTOR, color=WHITE, shape=shape, text=text)
    for pair in rng.permutation(len(OBJECT_COLORS) * len(OBJECT_SHAPES))[:objects]:
        color, shape = divmod(int(pair), len(OBJECT_SHAPES))
        text = TEXTS[rng.integers(len(TEXTS))]
        _place(rng, split, items, sides, color=color, shape=shape, text=text)
    return Scene(tuple(items), int(rng.integers(BACKGROUNDS[split])), split)


def _place(
    rng: np.random.Generator,
    split: Split,
    items: list[Item],
    sides: tuple[int, int],
    *,
    color: int,
    shape: int,
    text: str,
) -> None:
    """Append an item where it overlaps no other, if such a place is found."""
    for _ in range(_ATTEMPTS):
        side = int(rng.integers(sides[0], sides[1] + 1))
        x, y = rng.uniform(side / 2 + _MARGIN, CANVAS - side / 2 - _MARGIN, 2)
        if all(np.hypot(x - o.x, y - o.y) > _SPACING * (side + o.side) for o in items):
            font = FONTS[split][rng.integers(len(FONTS[split]))]
            tint = tuple(rng.uniform(-14, 14, 3))
            texture = int(rng.integers(TEXTURES))
            items.append(Item(x, y, side, color, shape, text, font, texture, tint))
            return
