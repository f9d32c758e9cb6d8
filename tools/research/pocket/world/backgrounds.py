"""Backgrounds and object textures, drawn from fixed seeds; training and test never share one."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tools.research.pocket.world.fonts import Split

#: Width and height of a scene in pixels.
CANVAS = 640
BACKGROUNDS: dict[Split, int] = {"train": 40, "test": 16}
TEXTURES = 24
_TEXTURE_SIDE = 256

Floats = NDArray[np.float32]


@cache
def background(split: Split, index: int) -> NDArray[np.uint8]:
    """Return a (CANVAS, CANVAS, 3) uint8 background.

    Training draws noise with strokes, stripes or patches; the test split plaids, rings or
    bubbles.
    """
    rng = np.random.default_rng([100 if split == "train" else 200, index])
    y, x = (axis.astype(np.float32) / CANVAS for axis in np.mgrid[0:CANVAS, 0:CANVAS])
    base, tint = rng.uniform(70, 190), rng.uniform(-14, 14, 3)
    slope = rng.uniform(-20, 20, (2, 3))
    image = base + tint + x[..., None] * slope[0] + y[..., None] * slope[1]
    kinds = (_strokes, _stripes, _patches) if split == "train" else (_plaid, _rings, _bubbles)
    image = image + kinds[index % len(kinds)](rng, x, y)[..., None]
    for cells, amplitude in ((10, 12), (40, 9), (160, 8)):
        image = image + _noise(rng, cells, amplitude, CANVAS)[..., None]
    return np.asarray(np.clip(image, 20, 235), np.uint8)


@cache
def texture(index: int) -> Floats:
    """Return an object's texture, (256, 256, 1) float32 with mean near zero."""
    rng = np.random.default_rng([300, index])
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0:_TEXTURE_SIDE, 0:_TEXTURE_SIDE])
    period, angle = rng.uniform(5, 12), rng.uniform(0, math.pi)
    if index % 4 == 0:
        wave = (x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period
        pattern = np.sign(np.sin(wave)) * 14
    elif index % 4 == 1:
        pattern = np.sin(x * 2 * math.pi / period) * np.sin(y * 2 * math.pi / period) * 20
    elif index % 4 == 2:
        pattern = rng.normal(0, 13, x.shape)
    else:
        pattern = _noise(rng, 64, 24, _TEXTURE_SIDE)
    return np.asarray(pattern, np.float32)[..., None]


def _noise(rng: np.random.Generator, cells: int, amplitude: float, side: int) -> Floats:
    grid = rng.normal(0, amplitude, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC))


def _strokes(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    image = Image.new("F", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(40, 140)):
        left, top = rng.uniform(0, CANVAS, 2)
        angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(8, 60)
        end = (left + length * math.cos(angle), top + length * math.sin(angle))
        draw.line((left, top, *end), fill=rng.uniform(-50, 50), width=int(rng.integers(1, 3)))
    return np.asarray(image)


def _stripes(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    angle, period = rng.uniform(0, math.pi), rng.uniform(12, 60) / CANVAS
    wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
    return np.asarray(wave * rng.uniform(6, 16), np.float32)


def _patches(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    cells = int(rng.integers(6, 24))
    grid = rng.uniform(-22, 22, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize(x.shape, Image.Resampling.NEAREST))


def _plaid(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    period = rng.uniform(20, 80, 2) / CANVAS
    bands = np.sign(np.sin(x * 2 * math.pi / period[0])) + np.sign(
        np.sin(y * 2 * math.pi / period[1])
    )
    return np.asarray(bands * rng.uniform(4, 9), np.float32)


def _rings(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    center, period = rng.uniform(-0.2, 1.2, 2), rng.uniform(16, 60) / CANVAS
    radius = np.hypot(x - center[0], y - center[1])
    return np.asarray(np.sin(radius * 2 * math.pi / period) * rng.uniform(6, 16), np.float32)


def _bubbles(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    image = Image.new("F", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(30, 90)):
        left, top = rng.uniform(-20, CANVAS, 2)
        size = rng.uniform(10, 70)
        draw.ellipse((left, top, left + size, top + size), outline=rng.uniform(-40, 40), width=2)
    return np.asarray(image)
