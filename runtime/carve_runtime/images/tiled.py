"""Images that are split into square tiles, followed by a view of the whole (Idefics3, InternVL)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.image_rules import TiledImage
from carve_models.interface import FEATURE
from carve_runtime.images.model_input import ModelInput, normalize
from carve_runtime.images.picture import Picture, Pixels, whole
from carve_runtime.method.geometry import RGB


def preprocess_tiled(image: Picture, rule: TiledImage) -> ModelInput:
    """Follow a :class:`carve_models.image_rules.TiledImage`.

    Each tile shows its rectangle of the image, resized without keeping the aspect ratio; together
    they cover the image, and so does the map.

    Args:
        image: of any size.
        rule: the bundle's.
    """
    canvas, overview, arrangement = _split(image, rule)
    tiles = _cut(canvas, arrangement, rule.tile) if arrangement else []
    views = [*tiles, overview]
    ids, starts = _markup(arrangement, rule)
    rows, columns = arrangement or (1, 1)
    high, wide = rule.tile_grid
    within = np.arange(high * wide).reshape(high, wide)
    tokens = np.asarray(starts[: rows * columns]).reshape(rows, columns, 1, 1) + within
    return ModelInput(
        feeds={names.PIXEL_VALUES: np.stack([normalize(view, rule) for view in views])},
        ids=ids,
        map_tokens=tokens.transpose(0, 2, 1, 3).ravel(),
        grid=(rows * high, columns * wide),
        window=whole(image).window,
    )


def _split(image: Picture, rule: TiledImage) -> tuple[RGB, RGB, tuple[int, int] | None]:
    """Return the canvas that is cut, the view of the whole, and (rows, columns) of tiles."""
    tile = rule.tile
    height, width = image.shape
    if rule.longest_edge is not None:
        height, width = _by_longest_edge(height, width, rule.longest_edge)
        image = _resized(image, height, width, rule)
    if rule.split == "longest_edge":
        height, width = _up_to_tiles(height, width, tile)
        image = _resized(image, height, width, rule)
        rows, columns = height // tile, width // tile
    else:
        rows, columns = closest_aspect(height, width, rule)
    overview = _resized(image, tile, tile, rule).array
    if rows * columns == 1:
        return overview, overview, None
    canvas = _resized(image, rows * tile, columns * tile, rule).array
    return canvas, overview, (rows, columns)


def _resized(image: Picture, height: int, width: int, rule: TiledImage) -> Pixels:
    return Pixels(image.resized(whole(image), height, width, rule.resample))


def _by_longest_edge(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return the size whose longer side is ``longest``; the shorter one is even (Idefics3)."""
    ratio = width / height
    if width >= height:
        short = int(longest / ratio)
        return max(short + short % 2, 1), longest
    short = int(longest * ratio)
    return longest, max(short + short % 2, 1)


def _up_to_tiles(height: int, width: int, tile: int) -> tuple[int, int]:
    """Round both sides up to multiples of ``tile``, the longer one first (Idefics3)."""
    ratio = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        return math.ceil(int(width / ratio) / tile) * tile, width
    height = math.ceil(height / tile) * tile
    return height, math.ceil(int(height * ratio) / tile) * tile


def closest_aspect(height: int, width: int, rule: TiledImage) -> tuple[int, int]:
    """Return the (rows, columns) of tiles whose ratio is closest to the image's (InternVL).

    Of equally close arrangements the later one wins, the larger that is, if the image has more than
    half its pixels.
    """
    best, smallest = (1, 1), math.inf
    for rows, columns in rule.arrangements():
        difference = abs(width / height - columns / rows)
        enough = height * width > 0.5 * rule.tile**2 * rows * columns
        if difference < smallest or (difference == smallest and enough):
            best, smallest = (rows, columns), difference
    return best


def _cut(canvas: RGB, arrangement: tuple[int, int], tile: int) -> list[RGB]:
    rows, columns = arrangement
    parts = canvas.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
    return list(parts.reshape(rows * columns, tile, tile, 3))


def _markup(
    arrangement: tuple[int, int] | None, rule: TiledImage
) -> tuple[NDArray[np.int64], list[int]]:
    """Return the ids of the image in a prompt, and where each view's tokens start in them."""
    markup, tokens = rule.markup, [FEATURE] * rule.tile_tokens
    ids, starts = list(markup.begin), []

    def view() -> None:
        starts.append(len(ids))
        ids.extend(tokens)

    if arrangement is None:
        ids.extend(markup.alone)
    else:
        rows, columns = arrangement
        for row in range(rows):
            if row > 0:
                ids.extend(markup.row_end)
            for column in range(columns):
                ids.extend(markup.tiles[row][column] if markup.tiles else ())
                view()
        ids.extend(markup.global_view)
    view()
    ids.extend(markup.end)
    return np.asarray(ids, np.int64), starts
