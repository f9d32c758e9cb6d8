"""Images that are all brought to one size (LLaVA-1.5)."""

from __future__ import annotations

from carve_models.graph_spec import Tensor, float32
from carve_models.image_rules.rule import (
    MOST_AREA,
    BaseImageRule,
    Byte,
    Count,
    Pixels,
    single_size_error,
)
from carve_models.names import BATCH, IMAGE_FEATURES, PIXEL_VALUES


class FixedImage(BaseImageRule, frozen=True, kw_only=True, tag="fixed"):
    """Every image takes the same size; the steps are in the order of the fields.

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
        if self.grid != tuple(side // self.patch_size for side in self.size):
            raise ValueError(
                f"the grid {self.grid} is not the size {self.size} in patches of {self.patch_size}"
            )
        edge = self.resize_shortest_edge
        if edge is not None and edge**2 * self.max_aspect_ratio > MOST_AREA:
            raise ValueError(f"the shortest edge {edge} makes pictures of over {MOST_AREA} pixels")

    @property
    def fewest_tokens(self) -> int:
        """Positions that every image takes in a prompt."""
        return self.grid[0] * self.grid[1]

    @property
    def most_tokens(self) -> int:
        """The same as the fewest."""
        return self.fewest_tokens

    @property
    def fixed_size(self) -> tuple[int, int]:
        """(height, width) of ``pixel_values``."""
        return self.size

    @property
    def fixed_grid(self) -> tuple[int, int]:
        """(rows, columns) of image tokens."""
        return self.grid

    @property
    def least_pixels(self) -> int:
        """0: there is only one size."""
        return 0

    def within(self, pixels: int) -> FixedImage:
        """Raise :class:`~carve_models.errors.SettingsError`: there is only one size."""
        raise single_size_error(pixels, self.size)

    def encoder_inputs(self) -> tuple[Tensor, ...]:
        """Return ``pixel_values``."""
        return (float32(PIXEL_VALUES, BATCH, 3, *self.size),)

    def encoder_features(self, hidden_size: int) -> Tensor:
        """Return the image tokens of a batch of images."""
        return float32(IMAGE_FEATURES, BATCH, self.fewest_tokens, hidden_size)

    def describe(self) -> str:
        """Return the size and the grid."""
        (height, width), (rows, columns) = self.size, self.grid
        tokens = f"{rows} x {columns} (rows x columns) = {self.fewest_tokens} tokens"
        return f"{width} x {height} pixels, {tokens}"

    def example_size(self) -> tuple[int, int]:
        """Return the size itself."""
        return self.size
