"""The words of pocket's world: what can be drawn, and what it is called."""

from __future__ import annotations

#: Colours of objects, RGB. The last four of the named ones occur in easy-VQA only.
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 40),
    "purple": (145, 55, 185),
    "orange": (245, 135, 25),
    "cyan": (60, 205, 220),
    "pink": (245, 140, 195),
    "teal": (0, 128, 128),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "brown": (165, 42, 42),
    "white": (245, 245, 245),
}
COLOR_NAMES = tuple(COLORS)
#: Colours that an object of a rendered scene may have.
OBJECT_COLORS = COLOR_NAMES[:8]
#: Text on these colours is white, on the others black.
DARK_COLORS = frozenset({"red", "green", "blue", "purple"})
#: The colour word of every distractor.
WHITE = COLOR_NAMES.index("white")

OBJECT_SHAPES = ("square", "circle", "triangle", "cross", "diamond")
#: Salient things that no reading question asks about.
DISTRACTOR_SHAPES = ("sign", "star", "board")
SHAPE_NAMES = (*OBJECT_SHAPES, "rectangle", *DISTRACTOR_SHAPES)

LETTERS = tuple("CEHKLOSTUVXZ")
#: No word is another one reversed.
WORDS = ("AD", "AT", "BY", "GO", "HI", "IF", "IS", "ME", "NO", "OX", "UP", "WE")
#: Everything that can stand on an object.
TEXTS = (*LETTERS, *WORDS)

ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")
#: Ninths of a picture, in raster order.
PLACES = tuple(f"{row} {column}" for row in ROWS for column in COLUMNS)

#: The general instruction of CARVE.
GENERAL = "Write a general description of the image."
