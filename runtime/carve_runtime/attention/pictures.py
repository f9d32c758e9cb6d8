"""Pictures of :class:`carve_runtime.Attention`: a map for each layer and word, over the image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from carve_models.errors import SettingsError
from carve_runtime.attention.attention import Attention
from carve_runtime.method.geometry import RGB
from carve_runtime.pictures import fit_title, heat_over

_SIDE = 192  # pixels of a map's longer side
_MARGIN = 8
_LINE = 22
_LABEL = 72
_FONT_SIZE = 14
_INK, _PAPER = (32, 32, 32), (255, 255, 255)
#: Most maps of one picture.
MOST_MAPS = 2048


def draw_attention(
    attention: Attention,
    image: RGB,
    *,
    layers: bool = True,
    words: bool = True,
    heads: bool = False,
) -> Image.Image:
    """Return one picture: a row for each layer, a column for each word that is decided.

    Args:
        attention: what is drawn.
        image: (H, W, 3) uint8, what the model was shown.
        layers: draw each layer; else one row, their mean.
        words: draw each step; else one column, the first.
        heads: a row for each head of each layer.

    Raises:
        SettingsError: the image has another size than the attention speaks of, the bundle has no
            heads, or there are more than :data:`MOST_MAPS` maps.
    """
    require_same_size(attention, image)
    rows = _rows(attention, layers=layers, heads=heads)
    steps = range(attention.steps) if words else range(1)
    if len(rows) * len(steps) > MOST_MAPS:
        raise SettingsError(
            f"{len(rows)} rows and {len(steps)} words make {len(rows) * len(steps)} maps",
            f"draw at most {MOST_MAPS}: fewer words, or the mean over heads or layers",
        )
    scale = _SIDE / max(attention.image_size)
    width, height = (max(round(side * scale), 1) for side in attention.image_size)
    small: RGB = np.asarray(Image.fromarray(image).resize((width, height)))
    font = ImageFont.load_default(_FONT_SIZE)
    across, down = width + _MARGIN, height + _MARGIN
    size = (_LABEL + across * len(steps), _LINE + down * len(rows))
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, step in enumerate(steps):
        left = _LABEL + column * across
        title = fit_title(attention.words[step], width, font)
        draw.text((left, _MARGIN // 2), title, fill=_INK, font=font)
        for line, (label, layer, head) in enumerate(rows):
            top = _LINE + line * down
            draw.text((_MARGIN, top + height // 2), label, fill=_INK, font=font)
            shown = _resized(attention.map(step, layer, head), (width, height))
            canvas.paste(Image.fromarray(heat_over(small, shown)), (left, top))
    return canvas


def _rows(
    attention: Attention, *, layers: bool, heads: bool
) -> Sequence[tuple[str, int | None, int | None]]:
    """Return label, layer and head of each row; ``None`` is the mean."""
    if heads:
        numbers = range(attention.require_heads())
        each = product(attention.layers, numbers)
        return [(f"layer {layer}\nhead {head}", layer, head) for layer, head in each]
    if layers:
        return [(f"layer {layer}", layer, None) for layer in attention.layers]
    return [("mean", None, None)]


def require_same_size(attention: Attention, image: RGB) -> None:
    """Raise :class:`SettingsError` unless this may be the image that the model was shown."""
    height, width = image.shape[:2]
    if (width, height) != attention.image_size:
        expected = " x ".join(map(str, attention.image_size))
        raise SettingsError(
            f"the image has {width} x {height} pixels, the attention is about {expected}",
            "give the image that the model was shown",
        )


def _resized(map_: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return a map in another size; what the model did not see stays NaN."""
    picture = Image.fromarray(map_).resize(size, Image.Resampling.NEAREST)
    return np.asarray(picture, np.float64)
