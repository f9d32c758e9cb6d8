"""Images that keep their aspect ratio and become packed patches (Qwen-VL)."""

from __future__ import annotations

import msgspec

from carve_models import names
from carve_models.graph_spec import Range, Tensor, float32, int64
from carve_models.image_rules.rule import Area, BaseImageRule, Count, Pixels, require_pixels

#: Rounding both sides to whole tokens, up or down, changes the pixels by this factor at most: with
#: limits so far apart, an image that grows stays within the most pixels, and one that shrinks keeps
#: the fewest.
ROUNDING = 4

#: Row and column of a patch; entries of the position table that a patch lies between.
_AXES, _CORNERS = 2, 4

#: Rows and columns of tokens of the example: windows at the edges are ragged.
_EXAMPLE_TOKENS = 13, 18


class NativeImage(BaseImageRule, frozen=True, kw_only=True, tag="native"):
    """An image keeps its aspect ratio; its patches are packed into a row.

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
    def token_patches(self) -> int:
        """Number of patches of one token."""
        return self.merge_size**2

    @property
    def frames_together(self) -> int:
        """How many frames the patches of one moment are packed from."""
        return self.temporal_patch_size

    @property
    def fewest_tokens(self) -> int:
        """Fewest positions that an image takes in a prompt."""
        return max(1, self.min_pixels // self.token_size**2)

    @property
    def most_tokens(self) -> int:
        """Most positions that an image takes in a prompt."""
        return self.max_pixels // self.token_size**2

    @property
    def least_pixels(self) -> int:
        """Pixels of one token."""
        return self.token_size**2

    def within(self, pixels: int) -> NativeImage:
        """Return the rule for images of at most ``pixels`` pixels.

        Sides are at least one token: an image whose ratio exceeds the number of tokens may take
        more.

        Raises:
            SettingsError: ``pixels`` are less than one token.
        """
        require_pixels(pixels, self.token_size)
        if pixels >= self.max_pixels:
            return self
        fewest = min(self.min_pixels, max(pixels // ROUNDING, self.least_pixels))
        return msgspec.structs.replace(self, min_pixels=fewest, max_pixels=pixels)

    def encoder_inputs(self) -> tuple[Tensor, ...]:
        """Return the packed patches of one image, and how they are laid out."""
        values = 3 * self.temporal_patch_size * self.patch_size**2
        inputs = [
            float32(names.PIXEL_VALUES, names.PATCHES, values),
            int64(names.PATCH_POSITIONS, names.PATCHES, _AXES),
        ]
        if self.window_size is not None:
            per_window = self.window_size**2 * self.token_patches
            inputs += [
                int64(names.WINDOW_PATCHES, names.WINDOWS, per_window),
                int64(names.PATCH_SLOTS, names.PATCHES),
            ]
        if self.position_side is not None:
            inputs += [
                int64(names.TABLE_INDICES, names.PATCHES, _CORNERS),
                float32(names.TABLE_WEIGHTS, names.PATCHES, _CORNERS),
            ]
        return tuple(inputs)

    def color_planes(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the patches as pictures: a plane for each colour at each time."""
        patches, values = shape
        return patches, values // self.patch_size**2, self.patch_size, self.patch_size

    def encoder_features(self, hidden_size: int) -> Tensor:
        """Return the tokens of one image."""
        return float32(names.IMAGE_FEATURES, 1, names.IMAGE_TOKENS, hidden_size)

    def encoder_ranges(self) -> dict[str, Range]:
        """Return the numbers of patches and of windows."""
        most, typical = self.most_tokens, (self.fewest_tokens + self.most_tokens) // 2
        per_token = self.token_patches
        ranges = {names.PATCHES: (per_token, typical * per_token, most * per_token)}
        if self.window_size is not None:
            # Of a sliver each token has a window of its own.
            ranges[names.WINDOWS] = (1, -(-typical // self.window_size**2), most)
        return ranges

    def describe(self) -> str:
        """Return the limits of an image and the size of a token."""
        sides = f"multiples of {self.token_size}"
        return f"{self.min_pixels} to {self.max_pixels} pixels in {sides}, a token each"

    def example_size(self) -> tuple[int, int]:
        """Return the size of an image of several windows, ragged at the edges."""
        rows, columns = _EXAMPLE_TOKENS
        return rows * self.token_size, columns * self.token_size
