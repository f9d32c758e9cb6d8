"""Tiles and a view of the whole as ONNX operators: the twin of ``carve_runtime.images.tiled``."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from carve_export.steps.model_input import ModelInput, normalize, sides_of, whole_window
from carve_export.steps.operators import Op, Value, constant, count_up, real, scalars, vector, whole
from carve_export.steps.resample import resize_bytes
from carve_models.image_rules import TiledImage
from carve_models.image_rules.rule import Ids
from carve_models.interface import FEATURE

#: Stands among ids where nothing is.
_NOTHING = -2


class _Picture(NamedTuple):
    """Pixels (h, w, 3) uint8, and h and w, int64 scalars."""

    pixels: Value
    size: tuple[Value, Value]

    def resized(self, op: Op, target: tuple[Value, Value], rule: TiledImage) -> _Picture:
        return _Picture(resize_bytes(op, self.pixels, self.size, target, rule.resample), target)


class _Split(NamedTuple):
    """The canvas that is cut, the view of the whole, and rows and columns of tiles."""

    canvas: _Picture
    overview: _Picture
    arrangement: tuple[Value, Value]


def preprocess_tiled(op: Op, image: Value, max_pixels: Value, rule: TiledImage) -> ModelInput:
    """Follow a :class:`carve_models.image_rules.TiledImage`.

    Args:
        op: the operators.
        image: (H, W, 3) uint8.
        max_pixels: most pixels of all tiles, int64 scalar; 0 for the rule's own limit.
        rule: the bundle's.
    """
    split = _split(op, _Picture(image, sides_of(op, image)), max_pixels, rule)
    (rows, columns), (high, wide) = split.arrangement, rule.tile_grid
    count = op.Mul(rows, columns)
    is_alone = op.Equal(count, constant(op, 1, np.int64))
    tiles = op.Where(is_alone, constant(op, 0, np.int64), count)
    ids = _markup(op, split.arrangement, is_alone, rule)
    return ModelInput(
        feeds=(normalize(op, _views(op, split, tiles, rule.tile), rule, channel_axis=-3),),
        ids=ids,
        map_tokens=_map_tokens(op, ids, split.arrangement, rule),
        grid=(op.Mul(rows, high), op.Mul(columns, wide)),
        window=whole_window(op, sides_of(op, image)),
    )


def _split(op: Op, picture: _Picture, max_pixels: Value, rule: TiledImage) -> _Split:
    tile = constant(op, rule.tile, np.int64)
    most_tiles = constant(op, rule.max_tiles, np.int64)
    if rule.longest_edge is not None:
        longest = _longest_edge(op, max_pixels, rule.longest_edge, tile)
        picture = picture.resized(op, _by_longest_edge(op, picture.size, longest), rule)
    else:
        is_own = op.Equal(max_pixels, constant(op, 0, np.int64))
        fewer = op.Min(most_tiles, op.Div(max_pixels, op.Mul(tile, tile)))
        most_tiles = op.Where(is_own, most_tiles, fewer)
    if rule.split == "longest_edge":
        picture = picture.resized(op, _up_to_tiles(op, picture.size, tile), rule)
        height, width = picture.size
        rows, columns = op.Div(height, tile), op.Div(width, tile)
    else:
        rows, columns = _closest_aspect(op, picture.size, most_tiles, rule)
    canvas = picture.resized(op, (op.Mul(rows, tile), op.Mul(columns, tile)), rule)
    return _Split(canvas, picture.resized(op, (tile, tile), rule), (rows, columns))


def _longest_edge(op: Op, max_pixels: Value, own: int, tile: Value) -> Value:
    """Return the longest edge that ``rule.within(max_pixels)`` has."""
    side = op.Mul(op.Div(whole(op, op.Sqrt(real(op, max_pixels))), tile), tile)
    limit = constant(op, own, np.int64)
    is_own = op.Equal(max_pixels, constant(op, 0, np.int64))
    return op.Where(is_own, limit, op.Min(limit, side))


def _by_longest_edge(op: Op, size: tuple[Value, Value], longest: Value) -> tuple[Value, Value]:
    """Return the size whose longer side is ``longest``; the shorter one is even."""
    height, width = size
    one, two = constant(op, 1, np.int64), constant(op, 2, np.int64)
    ratio = op.Div(real(op, width), real(op, height))
    is_wide, edge = op.GreaterOrEqual(width, height), real(op, longest)
    short = whole(op, op.Where(is_wide, op.Div(edge, ratio), op.Mul(edge, ratio)))
    short = op.Max(op.Add(short, op.Mod(short, two)), one)
    return op.Where(is_wide, short, longest), op.Where(is_wide, longest, short)


def _up_to_tiles(op: Op, size: tuple[Value, Value], tile: Value) -> tuple[Value, Value]:
    """Round both sides up to multiples of a tile, the longer one first."""
    height, width = size
    ratio = op.Div(real(op, width), real(op, height))
    is_wide = op.GreaterOrEqual(width, height)
    long = _up(op, op.Max(height, width), tile)
    exact = real(op, long)
    short = whole(op, op.Where(is_wide, op.Div(exact, ratio), op.Mul(exact, ratio)))
    short = _up(op, short, tile)
    return op.Where(is_wide, short, long), op.Where(is_wide, long, short)


def _up(op: Op, side: Value, tile: Value) -> Value:
    return op.Mul(whole(op, op.Ceil(op.Div(real(op, side), real(op, tile)))), tile)


def _closest_aspect(
    op: Op, size: tuple[Value, Value], most: Value, rule: TiledImage
) -> tuple[Value, Value]:
    """Return the rows and columns of at most ``most`` tiles whose ratio is closest."""
    height, width = (real(op, side) for side in size)
    any_number = msgspec.structs.replace(rule, min_tiles=1)  # a budget may be below the fewest
    choices = np.asarray(any_number.arrangements())
    tiles = constant(op, choices.prod(axis=1), np.int64)
    ratios = constant(op, (choices[:, 1] / choices[:, 0]), np.float64)
    fewest = op.Min(constant(op, rule.min_tiles, np.int64), most)
    allowed = op.And(op.GreaterOrEqual(tiles, fewest), op.LessOrEqual(tiles, most))
    difference = op.Abs(op.Sub(op.Div(width, height), ratios))
    difference = op.Where(allowed, difference, constant(op, np.inf, np.float64))
    is_closest = op.Equal(difference, op.ReduceMin(difference, keepdims=0))
    numbers = constant(op, list(range(len(choices))), np.int64)
    is_first = op.Equal(numbers, op.ArgMax(whole(op, is_closest), axis=0, keepdims=0))
    enough = op.Greater(op.Mul(height, width), op.Mul(real(op, tiles), 0.5 * rule.tile**2))
    is_chosen = op.And(is_closest, op.Or(is_first, enough))
    best = op.ReduceMax(op.Where(is_chosen, numbers, constant(op, -1, np.int64)), keepdims=0)
    rows, columns = scalars(op, op.Gather(constant(op, choices, np.int64), best), 2)
    return rows, columns


def _views(op: Op, split: _Split, tiles: Value, tile: int) -> Value:
    """Return the views, (views, 3, tile, tile) uint8: so many tiles, and the whole."""
    side = constant(op, [tile], np.int64)
    rows, columns = (op.Unsqueeze(count, [0]) for count in split.arrangement)
    shape = op.Concat(rows, side, columns, side, [3], axis=0)
    cut = op.Transpose(op.Reshape(split.canvas.pixels, shape), perm=[0, 2, 4, 1, 3])
    cut = op.Slice(op.Reshape(cut, [-1, 3, tile, tile]), [0], op.Unsqueeze(tiles, [0]), [0])
    overview = op.Unsqueeze(op.Transpose(split.overview.pixels, perm=[2, 0, 1]), [0])
    return op.Concat(cut, overview, axis=0)


def _markup(op: Op, arrangement: tuple[Value, Value], is_alone: Value, rule: TiledImage) -> Value:
    """Return the ids of the image in a prompt: with gaps first, which are then left out."""
    markup = rule.markup
    gap = constant(op, _NOTHING, np.int64)
    rows, columns = arrangement
    zero, one = constant(op, 0, np.int64), constant(op, 1, np.int64)
    shown = op.Where(is_alone, zero, rows)
    tags = _tags(op, (shown, columns), markup.tiles)
    each = op.Concat(vector(op, shown, columns), [rule.tile_tokens], axis=0)
    tiles = op.Concat(tags, op.Expand(constant(op, FEATURE, np.int64), each), axis=2)
    length = op.Mul(columns, op.Gather(op.Shape(tiles), constant(op, 2, np.int64), axis=0))
    is_last = op.Equal(count_up(op, shown), op.Sub(shown, one))
    ends = op.Where(op.Unsqueeze(is_last, [1]), gap, _row(op, markup.row_end))
    lines = op.Concat(op.Reshape(tiles, vector(op, shown, length)), ends, axis=1)
    whole_view = (
        op.Where(is_alone, _row(op, markup.alone), gap),
        op.Where(is_alone, gap, _row(op, markup.global_view)),
    )
    end = _row(op, (*[FEATURE] * rule.tile_tokens, *markup.end))
    ids = op.Concat(_row(op, markup.begin), op.Reshape(lines, [-1]), *whole_view, end, axis=0)
    return op.Compress(ids, op.Not(op.Equal(ids, gap)), axis=0)


def _tags(op: Op, arrangement: tuple[Value, Value], tags: tuple[tuple[Ids, ...], ...]) -> Value:
    """Return what stands before each tile, (rows, columns, longest), with gaps behind."""
    longest = max((len(ids) for row in tags for ids in row), default=0)
    if longest == 0:
        shape = op.Concat(vector(op, *arrangement), [0], axis=0)
        return op.Expand(constant(op, [], np.int64), shape)
    table = [[_padded(ids, longest) for ids in row] for row in tags]
    return op.Slice(constant(op, table, np.int64), [0, 0], vector(op, *arrangement), [0, 1])


def _padded(ids: Ids, width: int) -> list[int]:
    return [*ids, *[_NOTHING] * (width - len(ids))]


def _row(op: Op, ids: Ids) -> Value:
    return constant(op, _padded(ids, max(len(ids), 1)), np.int64)


def _map_tokens(op: Op, ids: Value, arrangement: tuple[Value, Value], rule: TiledImage) -> Value:
    """Return where the features of the tiles, or of the only view, stand, in raster order."""
    (rows, columns), (high, wide) = arrangement, rule.tile_grid
    is_feature = op.Equal(ids, constant(op, FEATURE, np.int64))
    places = op.Reshape(op.NonZero(is_feature), [-1])
    used = op.Mul(op.Mul(rows, columns), rule.tile_tokens)
    places = op.Slice(places, [0], op.Unsqueeze(used, [0]), [0])
    fixed = constant(op, [high, wide], np.int64)
    tiles = op.Reshape(places, op.Concat(vector(op, rows, columns), fixed, axis=0))
    return op.Reshape(op.Transpose(tiles, perm=[0, 2, 1, 3]), [-1])
