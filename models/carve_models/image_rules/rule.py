"""What every image rule answers, and the fields that all kinds share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import msgspec

from carve_models.errors import SettingsError
from carve_models.graph_spec import Range, Tensor

#: Sizes and counts; the upper limit keeps a damaged manifest from asking for all memory.
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=1 << 14)]
MOST_AREA = 1 << 28
Area = Annotated[int, msgspec.Meta(ge=1, le=MOST_AREA)]
#: Tokenizers number tokens in 32 bits.
Index = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Ids = tuple[Index, ...]

Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]


class BaseImageRule(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One kind of rule; what a kind may leave unanswered is not abstract.

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
        if self.std is not None and not min(self.std) > 0:
            raise ValueError(f"std {self.std} is not positive")
        if not self.rescale_factor > 0:
            raise ValueError(f"rescale_factor {self.rescale_factor} is not positive")
        if not self.max_aspect_ratio >= 1:
            raise ValueError(f"max_aspect_ratio {self.max_aspect_ratio} is below 1")

    @property
    @abstractmethod
    def fewest_tokens(self) -> int:
        """Fewest positions that an image takes in a prompt."""

    @property
    @abstractmethod
    def most_tokens(self) -> int:
        """Most positions that an image takes in a prompt, without the markup around it."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) that every image is brought to, or ``None`` if images differ."""
        return None

    @property
    def fixed_grid(self) -> tuple[int, int] | None:
        """(rows, columns) of every image's attention map, or ``None`` if images differ."""
        return None

    @property
    def frames_together(self) -> int:
        """How many frames of a clip one run of the vision encoder sees."""
        return 1

    @property
    @abstractmethod
    def least_pixels(self) -> int:
        """The smallest budget that :meth:`within` takes, in pixels; 0 if it takes none."""

    @abstractmethod
    def within(self, pixels: int) -> BaseImageRule:
        """Return the rule for images of at most ``pixels`` pixels.

        Raises:
            SettingsError: the model cannot see images that small, or of another size at all.
        """

    @abstractmethod
    def encoder_inputs(self) -> tuple[Tensor, ...]:
        """Return what the vision encoder takes, in the graph's order."""

    @abstractmethod
    def encoder_features(self, hidden_size: int) -> Tensor:
        """Return the image tokens that the vision encoder gives, as wide as the text model."""

    def encoder_ranges(self) -> dict[str, Range]:
        """Return sizes of the dimensions that :meth:`encoder_inputs` names, for one image.

        A batch that is left out is 1.
        """
        return {}

    def color_planes(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return ``pixel_values`` of a shape as pictures: (count, planes, height, width).

        The first third of the planes is red, the last blue.
        """
        count, planes, height, width = shape
        return count, planes, height, width

    def markup_ids(self) -> Ids:
        """Return the token ids, if any, that a prompt has around an image's features."""
        return ()

    @abstractmethod
    def describe(self) -> str:
        """Return the rule in a few words, for people."""

    @abstractmethod
    def example_size(self) -> tuple[int, int]:
        """Return (height, width) of an image that exercises the rule.

        Every dimension that it gives the encoder's inputs is above 1, unless the rule forbids that.
        """


def require_pixels(pixels: int, side: int) -> None:
    """Raise :class:`SettingsError` if ``pixels`` are less than a square of this side."""
    if pixels < side**2:
        raise SettingsError(
            f"at most {pixels} pixels were asked for, and the smallest image of this model has "
            f"{side} x {side}",
            f"allow at least {side**2} pixels",
        )


def single_size_error(pixels: int, size: tuple[int, int]) -> SettingsError:
    """Return what to raise where ``pixels`` are asked of a model of one (height, width)."""
    height, width = size
    return SettingsError(
        f"at most {pixels} pixels were asked for, and this model sees every image at "
        f"{width} x {height}",
        "set no limit of pixels, or use a model that sees images at several sizes",
    )
