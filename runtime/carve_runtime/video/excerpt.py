"""A part of a clip as a clip of its own: an interval of it, seen more densely and more closely."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from carve_models.errors import SettingsError
from carve_models.settings import shown
from carve_runtime.images.load import MAX_IMAGE_PIXELS
from carve_runtime.method.geometry import RGB, Box
from carve_runtime.method.refine import magnified_size, magnify
from carve_runtime.video.frames import Frames
from carve_runtime.video.video import Video


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Frames of a clip, read again from its source when they are needed; none is held.

    Attributes:
        video: the whole clip.
        indices: which of its frames, ascending.
        fps: how many of them are shown in a second.
        box: what is seen of each, half-open (x0, y0, x1, y1) in pixels of the clip's frames; all of
            it if ``None``.
        max_image_pixels: most pixels of a frame of the clip.
    """

    video: Video
    indices: tuple[int, ...]
    fps: float
    box: Box | None = None
    max_image_pixels: int = MAX_IMAGE_PIXELS

    @property
    def sample(self) -> bool:
        """The frames are chosen already."""
        return False

    @property
    def max_frames(self) -> int | None:
        """They are within the limit."""
        return None

    @contextmanager
    def open(self, max_image_pixels: int) -> Iterator[Frames]:
        """Open the clip behind it; arguments and errors as for :meth:`Video.open`."""
        with self.video.open(max_image_pixels) as frames:
            yield _Cut(frames, self)

    def pictures(self) -> Iterator[RGB]:
        """Yield the frames as the model's own steps receive them, (h, w, 3) uint8.

        Raises:
            VideoError: the clip cannot be read any more.
        """
        with self.open(self.max_image_pixels) as frames:
            yield from frames.read(range(frames.count))


@dataclass(frozen=True, eq=False)
class _Cut:
    """The frames of an open clip that an excerpt has; :class:`Frames`."""

    whole: Frames
    excerpt: Excerpt

    @property
    def count(self) -> int:
        return len(self.excerpt.indices)

    @property
    def fps(self) -> float:
        return self.excerpt.fps

    @property
    def size(self) -> tuple[int, int]:
        """What a crop is magnified to: at most the pixels of a frame, so that it costs no more."""
        if self.excerpt.box is None:
            return self.whole.size
        x0, y0, x1, y1 = self.excerpt.box
        width, height = self.whole.size
        return magnified_size((x1 - x0, y1 - y0), (width, height), width * height)[0]

    def read(self, indices: Sequence[int]) -> Iterator[RGB]:
        """Yield frames, see :meth:`carve_runtime.video.frames.Frames.read`."""
        for picture in self.whole.read([self.excerpt.indices[index] for index in indices]):
            yield self._closer(picture)

    def close(self) -> None:
        """The clip is closed where it was opened."""

    def _closer(self, picture: RGB) -> RGB:
        if self.excerpt.box is None:
            return picture
        x0, y0, x1, y1 = self.excerpt.box
        return magnify(picture[y0:y1, x0:x1], self.size)


def frames_between(seconds: tuple[float, float], fps: float, count: int) -> tuple[int, int]:
    """Return the half-open range of frames that a stretch of seconds touches.

    Raises:
        SettingsError: it is no stretch of the clip.
    """
    try:
        start, stop = (float(second) for second in seconds)
        first, end = math.floor(start * fps), min(math.ceil(stop * fps), count)
        fits = 0 <= start < stop and first < end
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise SettingsError(
            f"interval is {shown(seconds)}, and the clip lasts {count / fps:.2f} seconds",
            "give the seconds at which it starts and ends",
        )
    return first, end


def require_box(box: Box, size: tuple[int, int]) -> None:
    """Raise :class:`SettingsError` unless a box lies within frames of (width, height)."""
    width, height = size
    try:
        x0, y0, x1, y1 = box
        fits = 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        whole = all(isinstance(edge, (int, np.integer)) for edge in box)
    except (TypeError, ValueError):
        fits = whole = False
    if not (fits and whole):
        raise SettingsError(
            f"box is {shown(box)}, and the frames have {width} x {height} pixels",
            "give whole numbers (x0, y0, x1, y1) within them",
        )
