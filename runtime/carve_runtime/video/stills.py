"""Clips whose frames are pictures already: a folder of them, or a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import VideoError
from carve_runtime.images.load import ImageInput, is_picture, load_image
from carve_runtime.method.geometry import RGB
from carve_runtime.video.frames import require_same_size, require_seconds

#: Of an array of frames: its dimensions, and what the last one holds.
_NDIM, _COLORS = 4, 3


class Stills:
    """Frames that are read as images are, each when it is its turn."""

    def __init__(
        self,
        frames: Sequence[ImageInput] | NDArray[Any],
        fps: float,
        max_seconds: float,
        max_pixels: int,
    ) -> None:
        """Look at the first frame.

        Args:
            frames: images of any kind, in order.
            fps: how many are shown in a second.
            max_seconds: longest clip.
            max_pixels: most pixels of a frame.

        Raises:
            VideoError: there is no frame, the clip is too long, or an array is no clip.
            ImageError: the first frame cannot be read.
        """
        if isinstance(frames, np.ndarray) and (frames.ndim != _NDIM or frames.shape[3] != _COLORS):
            raise VideoError(
                f"the array has shape {frames.shape}", "give a (frames, H, W, 3) uint8 array"
            )
        if len(frames) == 0:
            raise VideoError("the clip has no frames", "give at least one")
        require_seconds("the clip", len(frames) / fps, max_seconds)
        self._frames, self._fps, self._max_pixels = frames, fps, max_pixels
        height, width = self._load(frames[0]).shape[:2]
        self._size = width, height

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._frames)

    @property
    def fps(self) -> float:
        """What was given."""
        return self._fps

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the first."""
        return self._size

    def read(self, indices: Sequence[int]) -> Iterator[RGB]:
        """Yield frames, see :meth:`carve_runtime.video.frames.Frames.read`.

        Raises:
            ImageError: a frame cannot be read.
        """
        for index in indices:
            picture = self._load(self._frames[index])
            height, width = picture.shape[:2]
            require_same_size(f"frame {index}", (width, height), self._size)
            yield picture

    def close(self) -> None:
        """Nothing is open."""

    def _load(self, frame: Any) -> RGB:
        return load_image(frame, max_image_pixels=self._max_pixels)


def pictures_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the pictures of a folder, sorted by name; other files are passed over.

    Raises:
        VideoError: the folder cannot be read, or has no pictures.
    """
    try:
        names = sorted(Path(folder).iterdir())
    except OSError as error:
        raise VideoError(
            f"{os.fspath(folder)} cannot be read ({error.strerror})", "check the folder of frames"
        ) from error
    found = [path for path in names if is_picture(path)]
    if not found:
        raise VideoError(
            f"the folder {os.fspath(folder)} has no pictures", "give a folder of frames, or a clip"
        )
    return found
