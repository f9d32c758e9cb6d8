"""How an image becomes the vision encoder's input: one class for each kind of image processor.

The order and the arithmetic are those of Hugging Face's Pillow image processors. In ``carve.json``
the key ``kind`` tells the classes apart.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias

import msgspec

from carve_models.errors import SettingsError

#: Sizes and counts; the upper limit keeps a damaged manifest from asking for all memory.
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=1 << 14)]
Area = Annotated[int, msgspec.Meta(ge=1, le=1 << 28)]
Index = Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Ids = tuple[Index, ...]

#: Rounding both sides to whole tokens, up or down, changes the pixels by this factor at most: with
#: limits so far apart, an image that grows stays within the most pixels, and one that shrinks keeps
#: the fewest.
_ROUNDING = 4

Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]


class _Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all kinds share.

    Attributes:
        resample: Pillow's filter.
        rescale_factor: multiplies the bytes.
        mean: subtracted per channel after rescaling, or ``None``.
        std: divides per channel, or ``None``.
        max_aspect_ratio: longest accepted ratio of the sides of an input image.
    """

    resample: Resample = "bicubic"
    rescale_factor: float = 1 / 255
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    max_aspect_ratio: float = 200.0

    def __post_init__(self) -> None:
        if self.std is not None and 0 in self.std:
            raise ValueError("std contains 0")


class FixedImage(_Rule, frozen=True, kw_only=True, tag="fixed"):
    """Every image takes the same size (LLaVA-1.5); the steps are in the order of the fields.

    Attributes:
        pad_color: pad to a square with this colour first, or ``None``.
        resize_to: resize to (height, width), or ``None``.
        resize_shortest_edge: resize so that the shorter side has this length, or ``None``.
        crop: crop the centre (height, width), padding with black what is smaller, or ``None``.
        size: (height, width) of ``pixel_values``.
        grid: (rows, columns) of image tokens.
        patch_size: side in pixels of ``pixel_values`` that one token covers.
    """

    pad_color: tuple[Byte, Byte, Byte] | None = None
    resize_to: tuple[Pixels, Pixels] | None = None
    resize_shortest_edge: Pixels | None = None
    crop: tuple[Pixels, Pixels] | None = None
    size: tuple[Pixels, Pixels]
    grid: tuple[Count, Count]
    patch_size: Pixels

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.crop or self.resize_to) != self.size:
            raise ValueError(f"the image rule does not end at the size {self.size}")
        covered = [side * self.patch_size for side in self.grid]
        if any(side > limit for side, limit in zip(covered, self.size, strict=True)):
            raise ValueError(f"the grid {self.grid} does not fit into the size {self.size}")

    @property
    def fewest_tokens(self) -> int:
        """Fewest positions that an image takes in a prompt; here every image's."""
        return self.grid[0] * self.grid[1]

    @property
    def most_tokens(self) -> int:
        """Most positions that an image takes in a prompt."""
        return self.fewest_tokens

    def within(self, pixels: int) -> FixedImage:
        """Refuse: there is but one size."""
        height, width = self.size
        raise SettingsError(
            f"at most {pixels} pixels were asked for, this model sees every image at "
            f"{width} x {height}",
            "set no limit of pixels, or use a model of dynamic resolution",
        )


class NativeImage(_Rule, frozen=True, kw_only=True, tag="native"):
    """An image keeps its aspect ratio; its patches are packed into a row (Qwen-VL).

    Sides are rounded to multiples of ``token_size``, between ``min_pixels`` and ``max_pixels`` in
    all (``smart_resize`` of transformers). The patches of one token stand next to each other.

    Attributes:
        min_pixels: fewest pixels after resizing.
        max_pixels: most pixels after resizing.
        patch_size: side of a patch in pixels.
        merge_size: patches per side of a token.
        temporal_patch_size: how often a still image is repeated in time.
        window_size: tokens per side of an attention window of the encoder, or ``None``.
        position_side: entries per side of the learned position table that is interpolated to the
            patches, or ``None``.
    """

    min_pixels: Area
    max_pixels: Area
    patch_size: Pixels
    merge_size: Count
    temporal_patch_size: Count
    window_size: Count | None = None
    position_side: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_pixels <= self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} is above max_pixels {self.max_pixels}")
        if self.token_size**2 > self.max_pixels:
            raise ValueError(f"max_pixels {self.max_pixels} is less than one token")

    @property
    def token_size(self) -> int:
        """Side in pixels that one token covers."""
        return self.patch_size * self.merge_size

    @property
    def fewest_tokens(self) -> int:
        """Fewest positions that an image takes in a prompt."""
        return max(1, self.min_pixels // self.token_size**2)

    @property
    def most_tokens(self) -> int:
        """Most positions that an image takes in a prompt."""
        return self.max_pixels // self.token_size**2

    def within(self, pixels: int) -> NativeImage:
        """Return the rule for images of at most so many pixels.

        Sides are at least one token: an image whose ratio exceeds the number of tokens may take
        more.

        Raises:
            SettingsError: that is less than one token.
        """
        _require_pixels(pixels, self.token_size)
        if pixels >= self.max_pixels:
            return self
        fewest = min(self.min_pixels, max(pixels // _ROUNDING, self.token_size**2))
        return msgspec.structs.replace(self, min_pixels=fewest, max_pixels=pixels)


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

    def all_ids(self) -> list[Ids]:
        """Return every stretch of ids."""
        tags = [ids for row in self.tiles for ids in row]
        return [*tags, self.begin, self.row_end, self.global_view, self.alone, self.end]


class TiledImage(_Rule, frozen=True, kw_only=True, tag="tiled"):
    """An image is split into square tiles; a view of the whole follows (Idefics3, InternVL).

    Attributes:
        split: how many tiles. ``longest_edge``: resize the longer side to ``longest_edge``, then
            both up to multiples of ``tile`` (Idefics3); the whole view is made from the result.
            ``closest_aspect``: the arrangement of at most ``max_tiles`` tiles whose ratio is the
            image's (InternVL); the whole view is made from the image. ``none``: one view only.
        tile: side of a tile in pixels.
        tile_grid: (rows, columns) of tokens of one tile.
        longest_edge: of the rule of that name.
        min_tiles: of the rule ``closest_aspect``.
        max_tiles: of the rule ``closest_aspect``.
        markup: the token ids around the views.
    """

    split: Literal["longest_edge", "closest_aspect", "none"]
    tile: Pixels
    tile_grid: tuple[Count, Count]
    longest_edge: Pixels | None = None
    min_tiles: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    max_tiles: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    markup: TileMarkup = TileMarkup()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "longest_edge" and self.longest_edge is None:
            raise ValueError("the split by longest edge names none")
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
        side = self.most_tiles_per_side
        tiles = side**2 if self.split == "longest_edge" else side
        return (tiles + 1) * self.tile_tokens

    def within(self, pixels: int) -> TiledImage:
        """Return the rule for tiles of at most so many pixels in all, beside the view of the whole.

        Raises:
            SettingsError: that is less than one tile, or images are not split.
        """
        if self.split == "none":
            raise SettingsError(
                f"at most {pixels} pixels were asked for, this model sees every image at "
                f"{self.tile} x {self.tile}",
                "set no limit of pixels, or use a model that splits images",
            )
        _require_pixels(pixels, self.tile)
        if self.longest_edge is not None:
            side = math.isqrt(pixels) // self.tile * self.tile
            return msgspec.structs.replace(self, longest_edge=min(self.longest_edge, side))
        most = min(self.max_tiles, pixels // self.tile**2)
        return msgspec.structs.replace(self, max_tiles=most, min_tiles=min(self.min_tiles, most))


def _require_pixels(pixels: int, side: int) -> None:
    if pixels < side**2:
        raise SettingsError(
            f"at most {pixels} pixels were asked for, the smallest image of this model has "
            f"{side} x {side}",
            f"allow {side**2} pixels at least",
        )


ImageRule: TypeAlias = FixedImage | NativeImage | TiledImage
