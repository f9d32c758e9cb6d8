"""Draw a scene, or a window of it, pixel by pixel as it would be cropped from the picture."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tools.research.pocket.world.backgrounds import CANVAS, background, texture
from tools.research.pocket.world.fonts import text_mask
from tools.research.pocket.world.scenes import Item, Scene
from tools.research.pocket.world.vocabulary import COLOR_NAMES, COLORS, DARK_COLORS, SHAPE_NAMES

#: (x0, y0, x1, y1) in scene pixels, half-open.
Window: TypeAlias = tuple[int, int, int, int]
WHOLE: Window = (0, 0, CANVAS, CANVAS)

#: Height of capitals as a share of the side.
_LETTER_HEIGHT = 0.42
_WORD_HEIGHT = 0.32
_SUPERSAMPLING = 3


def render(scene: Scene, window: Window = WHOLE) -> Image.Image:
    """Return the window of the scene at full resolution, RGB."""
    x0, y0, x1, y1 = window
    column = (np.arange(x0, x1) + scene.shift) % (2 * CANVAS)
    column = np.minimum(column, 2 * CANVAS - 1 - column)
    rows = background(scene.split, scene.background)[y0:y1]
    image = Image.fromarray(rows.take(column, axis=1))
    for item in scene.items:
        left, top = round(item.x - item.side / 2) - x0, round(item.y - item.side / 2) - y0
        if -item.side < left < image.width and -item.side < top < image.height:
            sprite = Image.fromarray(_sprite(item))
            image.paste(sprite, (left, top), _shape_mask(SHAPE_NAMES[item.shape], item.side))
    return image


def _sprite(item: Item) -> NDArray[np.uint8]:
    """Return the item's square with texture and text, (side, side, 3)."""
    name, side = SHAPE_NAMES[item.shape], item.side
    pixels = np.array(COLORS[COLOR_NAMES[item.color]]) + np.array(item.tint)
    pixels = np.clip(pixels + texture(item.texture)[:side, :side], 0, 255)
    if name == "star":
        pixels[_rays(side)] = 10
    elif name == "board":
        pixels[_checks(side)] = 10
    elif name == "sign":
        edge = max(2, side // 20)
        pixels[:edge] = pixels[-edge:] = pixels[:, :edge] = pixels[:, -edge:] = 10
    if item.text:
        _write(pixels, item, name)
    return np.asarray(pixels, np.uint8)


def _write(pixels: NDArray[np.float64], item: Item, shape: str) -> None:
    """Blend the item's text into its pixels, in place."""
    share = _LETTER_HEIGHT if len(item.text) == 1 else _WORD_HEIGHT
    middle = 0.5
    if shape == "triangle":
        share, middle = share * 0.85, 0.64
    mask = text_mask(item.text, item.font, max(5, round(item.side * share)))
    height, width = mask.shape
    top = max(0, round(item.side * middle - height / 2))
    left = max(0, round(item.side / 2 - width / 2))
    area = pixels[top : top + height, left : left + width]
    cover = mask[: area.shape[0], : area.shape[1], None] / 255
    ink = 250.0 if COLOR_NAMES[item.color] in DARK_COLORS else 12.0
    area += (ink - area) * cover


@lru_cache(maxsize=2048)
def _shape_mask(shape: str, side: int) -> Image.Image:
    """Return an antialiased (side, side) mask."""
    n = side * _SUPERSAMPLING
    image = Image.new("L", (n, n))
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((0, 0, n - 1, n - 1), fill=255)
    elif shape == "triangle":
        draw.polygon([(n * 0.5, 0), (n - 1, n * 0.94), (0, n * 0.94)], fill=255)
    elif shape == "cross":
        draw.rectangle((n * 0.26, 0, n * 0.74, n), fill=255)
        draw.rectangle((0, n * 0.26, n, n * 0.74), fill=255)
    elif shape == "diamond":
        draw.polygon([(n * 0.5, 0), (n - 1, n * 0.5), (n * 0.5, n - 1), (0, n * 0.5)], fill=255)
    elif shape == "star":
        angles = np.arange(16) * math.pi / 8
        radii = np.where(np.arange(16) % 2, 0.28, 0.5) * n
        points = zip(n / 2 + radii * np.sin(angles), n / 2 - radii * np.cos(angles), strict=True)
        draw.polygon(list(points), fill=255)
    else:
        inset = 0 if shape in ("sign", "board") else n * 0.06
        draw.rectangle((inset, inset, n - inset, n - inset), fill=255)
    return image.resize((side, side), Image.Resampling.BOX)


@lru_cache(maxsize=256)
def _rays(side: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    return np.asarray(np.sin(np.arctan2(y, x) * 8) > 0)


@lru_cache(maxsize=256)
def _checks(side: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:side, 0:side] * 6 // side
    return np.asarray((x + y) % 2 == 1)
