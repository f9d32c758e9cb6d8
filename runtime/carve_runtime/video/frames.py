"""What every clip is, wherever its frames come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from carve_models.errors import VideoError
from carve_runtime.method.geometry import RGB


class Frames(Protocol):
    """An open clip: ``count`` frames, the ``i``-th of them shown from ``i / fps`` seconds on."""

    @property
    def count(self) -> int:
        """How many, at least one."""

    @property
    def fps(self) -> float:
        """Frames a second."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of each in pixels."""

    def read(self, indices: Sequence[int]) -> Iterator[RGB]:
        """Yield the (H, W, 3) uint8 frames of ascending indices; none is held.

        Raises:
            VideoError: a frame cannot be decoded, or has another size than the first.
        """

    def close(self) -> None:
        """Close what was opened."""


class ClipSource(Protocol):
    """A clip that can be opened again and again, and what of it is to be seen."""

    @property
    def sample(self) -> bool:
        """Whether the model's rule chooses frames; all are seen without it."""

    @property
    def max_frames(self) -> int | None:
        """Most frames that the model sees; its own limit if ``None``."""

    def open(self, max_image_pixels: int) -> AbstractContextManager[Frames]:
        """Return the open clip, whose frames have at most so many pixels."""


def require_seconds(name: object, seconds: float, most: float) -> None:
    """Raise :class:`VideoError` for a clip that lasts longer than it may."""
    if seconds > most:
        raise VideoError(
            f"{name} lasts {seconds:.0f} seconds, and clips of at most {most:g} are read",
            "cut out the part that matters, or raise max_seconds",
        )


def require_same_size(name: object, size: tuple[int, int], first: tuple[int, int]) -> None:
    """Raise :class:`VideoError` unless a frame has the size of the first one, (width, height)."""
    if size != first:
        raise VideoError(
            f"{name} has {size[0]} x {size[1]} pixels, the first frame {first[0]} x {first[1]}",
            "give frames of one size",
        )
