"""Images that are split into tiles, with a view of the whole behind them (Idefics3, InternVL)."""

from __future__ import annotations

import math
from itertools import chain
from typing import Annotated, Literal

import msgspec

from carve_models.graph_spec import Range, Tensor, float32
from carve_models.image_rules.rule import (
    BaseImageRule,
    Count,
    Ids,
    Pixels,
    require_pixels,
    single_size_error,
)
from carve_models.names import BATCH, IMAGE_FEATURES, PIXEL_VALUES

#: Number of tiles; the models have at most a few dozen.
_Tiles = Annotated[int, msgspec.Meta(ge=1, le=1024)]

#: Rows and columns of tiles of the example.
_EXAMPLE_TILES = 2, 3


class TileMarkup(msgspec.Struct, frozen=True, kw_only=True):
    """Token ids that a prompt has around the views of one image.

    Attributes:
        begin: before everything.
        tiles: before the tile of a row and a column, ``tiles[row][column]``; empty if nothing
            stands there.
        row_end: after each row of tiles but the last.
        global_view: after the tiles, before the view of the whole image.
        alone: before the only view, if the image is not split.
        end: after everything.
    """

    begin: Ids = ()
    tiles: tuple[tuple[Ids, ...], ...] = ()
    row_end: Ids = ()
    global_view: Ids = ()
    alone: Ids = ()
    end: Ids = ()


class TiledImage(BaseImageRule, frozen=True, kw_only=True, tag="tiled"):
    """An image is split into square tiles; a view of the whole follows.

    Attributes:
        split: how many tiles. ``longest_edge``: resize the longer side to ``longest_edge``, then
            both up to multiples of ``tile`` (Idefics3); the whole view is made from the result.
            ``closest_aspect``: the arrangement of at most ``max_tiles`` tiles whose ratio is the
            image's (InternVL); the whole view is made from the image. ``none``: one view only.
        tile: side of a tile in pixels.
        tile_grid: (rows, columns) of tokens of one tile.
        longest_edge: for the split of that name.
        min_tiles: for the split ``closest_aspect``.
        max_tiles: for the split ``closest_aspect``.
        markup: the token ids around the views.
    """

    split: Literal["longest_edge", "closest_aspect", "none"]
    tile: Pixels
    tile_grid: tuple[Count, Count]
    longest_edge: Pixels | None = None
    min_tiles: _Tiles = 1
    max_tiles: _Tiles = 1
    markup: TileMarkup = TileMarkup()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "longest_edge" and self.longest_edge is None:
            raise ValueError("the split longest_edge gives no longest_edge")
        if self.tile_grid[0] != self.tile_grid[1]:
            raise ValueError(f"the tile_grid {self.tile_grid} of a square tile is not square")
        if self.min_tiles > self.max_tiles:
            raise ValueError(f"min_tiles {self.min_tiles} is above max_tiles {self.max_tiles}")
        side, tags = self.most_tiles_per_side, self.markup.tiles
        if tags and (len(tags) < side or min(len(row) for row in tags) < side):
            raise ValueError(f"the markup does not name {side} x {side} tiles")

    @property
    def most_tiles_per_side(self) -> int:
        """Most rows or columns of tiles that an image is split into; 0 if it never is."""
        if self.split == "longest_edge" and self.longest_edge is not None:
            return -(-self.longest_edge // self.tile)
        return self.max_tiles if self.split == "closest_aspect" else 0

    @property
    def most_views(self) -> int:
        """Most tiles of one image, and the view of the whole."""
        side = self.most_tiles_per_side
        return 1 + (side**2 if self.split == "longest_edge" else side)

    @property
    def tile_tokens(self) -> int:
        """Number of tokens of one view."""
        return self.tile_grid[0] * self.tile_grid[1]

    @property
    def fewest_tokens(self) -> int:
        """Fewest positions that an image takes in a prompt."""
        return self.tile_tokens

    @property
    def most_tokens(self) -> int:
        """Most positions that an image takes in a prompt, its markup not counted."""
        return self.most_views * self.tile_tokens

    @property
    def least_pixels(self) -> int:
        """Pixels of one tile; 0 if images are not split."""
        return 0 if self.split == "none" else self.tile**2

    def arrangements(self) -> list[tuple[int, int]]:
        """Return the (rows, columns) of tiles to choose from by aspect, in order of preference.

        Fewest tiles come first, and fewest columns among them.
        """
        sides = range(1, self.max_tiles + 1)
        allowed = [
            (rows, columns)
            for columns in sides
            for rows in sides
            if self.min_tiles <= rows * columns <= self.max_tiles
        ]
        return sorted(allowed, key=math.prod)

    def within(self, pixels: int) -> TiledImage:
        """Return the rule for tiles of at most ``pixels`` pixels in all, beside the whole view.

        Raises:
            SettingsError: ``pixels`` are less than one tile, or images are not split.
        """
        if self.split == "none":
            raise single_size_error(pixels, (self.tile, self.tile))
        require_pixels(pixels, self.tile)
        if self.longest_edge is not None:
            side = math.isqrt(pixels) // self.tile * self.tile
            return msgspec.structs.replace(self, longest_edge=min(self.longest_edge, side))
        most = min(self.max_tiles, pixels // self.tile**2)
        return msgspec.structs.replace(self, max_tiles=most, min_tiles=min(self.min_tiles, most))

    def encoder_inputs(self) -> tuple[Tensor, ...]:
        """Return ``pixel_values``, a batch of views."""
        return (float32(PIXEL_VALUES, BATCH, 3, self.tile, self.tile),)

    def encoder_features(self, hidden_size: int) -> Tensor:
        """Return the image tokens of each view."""
        return float32(IMAGE_FEATURES, BATCH, self.tile_tokens, hidden_size)

    def encoder_ranges(self) -> dict[str, Range]:
        """Return the number of views."""
        return {BATCH: (1, 1, self.most_views)}

    def markup_ids(self) -> Ids:
        """Return every id around the views."""
        markup = self.markup
        tags = chain.from_iterable(chain.from_iterable(markup.tiles))
        around = markup.begin, markup.row_end, markup.global_view, markup.alone, markup.end
        return (*tags, *chain.from_iterable(around))

    def describe(self) -> str:
        """Return the size of a tile."""
        return f"tiles of {self.tile} x {self.tile} pixels and {self.tile_tokens} tokens"

    def example_size(self) -> tuple[int, int]:
        """Return the size of an image of several tiles."""
        rows, columns = _EXAMPLE_TILES
        return rows * self.tile, columns * self.tile
