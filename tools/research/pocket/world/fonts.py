"""Fonts by name, from files that Python packages bring: the same on every machine.

Training never sees the fonts of the test split.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Split = Literal["train", "test"]

#: Matplotlib's font files; "Aileron" is Pillow's built-in font.
FONTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "DejaVuSans-Bold",
        "DejaVuSansMono-Bold",
        "DejaVuSerif-Bold",
        "STIXGeneralBol",
        "cmss10",
        "cmb10",
        "DejaVuSans",
        "DejaVuSansMono",
        "DejaVuSerif",
        "STIXGeneral",
        "cmr10",
    ),
    "test": ("Aileron", "cmtt10"),
}
_AILERON = "Aileron"
#: Strokes are thickened by this share of the text's height, so that thin fonts stay legible.
_STROKE = 0.05


@lru_cache(maxsize=4096)
def text_mask(text: str, font: str, height: int) -> NDArray[np.uint8]:
    """Return the coverage of a text whose capitals are ``height`` pixels high, (h, w) uint8."""
    face = _scaled_font(font, height)
    stroke = max(1, round(height * _STROKE)) if height >= 10 else 0
    x0, y0, x1, y1 = (round(value) for value in face.getbbox(text, stroke_width=stroke))
    image = Image.new("L", (x1 - x0, y1 - y0))
    ImageDraw.Draw(image).text((-x0, -y0), text, font=face, fill=255, stroke_width=stroke)
    return np.asarray(image)


@lru_cache(maxsize=1024)
def _scaled_font(name: str, height: int) -> ImageFont.FreeTypeFont:
    probe = _load(name, 100)
    _, top, _, bottom = probe.getbbox("H")
    return _load(name, max(4, round(100 * height / (bottom - top))))


@lru_cache(maxsize=1024)
def _load(name: str, size: int) -> ImageFont.FreeTypeFont:
    if name == _AILERON:
        font = ImageFont.load_default(size=size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise RuntimeError("Pillow was built without FreeType")
        return font
    folder = resources.files("matplotlib") / "mpl-data" / "fonts" / "ttf"
    with resources.as_file(folder / f"{name}.ttf") as path:
        return ImageFont.truetype(str(path), size)
