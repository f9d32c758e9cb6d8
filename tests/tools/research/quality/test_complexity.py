"""The paper's measures of clutter, on pictures whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tools.research.quality.complexity import color_complexity, texture_complexity


def test_an_even_picture_has_neither() -> None:
    image = Image.new("RGB", (64, 64), (200, 30, 30))
    assert texture_complexity(image) == 0
    assert color_complexity(image) == 0


def test_one_edge_is_one_line_of_pixels() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = 255
    assert texture_complexity(Image.fromarray(pixels)) == pytest.approx(1 / 64)


def test_more_stripes_have_more_texture() -> None:
    rows = np.arange(64)[:, None].repeat(64, axis=1)
    textures = [
        texture_complexity(Image.fromarray((rows // width % 2 * 255).astype(np.uint8)))
        for width in (32, 16, 8)
    ]
    assert textures == sorted(textures)
    assert textures[0] < textures[-1]


def test_all_hues_alike_often_are_most_complex() -> None:
    hues = Image.fromarray((np.arange(180)[None] * 255 / 180).round().astype(np.uint8))
    full = Image.new("L", hues.size, 255)
    image = Image.merge("HSV", (hues, full, full)).convert("RGB")
    assert color_complexity(image) == pytest.approx(1)
    two = Image.new("RGB", (64, 64), (255, 0, 0))
    two.paste((0, 0, 255), (0, 0, 32, 64))
    assert color_complexity(two) == pytest.approx(np.log(2) / np.log(180))
