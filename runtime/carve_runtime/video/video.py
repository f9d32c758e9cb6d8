"""A clip as people give it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError, VideoError
from carve_models.settings import require_count, require_positive, require_range
from carve_runtime.images.load import MAX_IMAGE_PIXELS, ImageInput
from carve_runtime.method.geometry import RGB
from carve_runtime.video.file import VideoFile
from carve_runtime.video.frames import Frames
from carve_runtime.video.stills import Stills, pictures_in

VideoInput: TypeAlias = "str | os.PathLike[str] | Sequence[ImageInput] | NDArray[Any]"

#: Longest clip that is read unless told otherwise, in seconds: models see a few hundred frames of
#: it at most, a dozen seconds apart in two hours.
MAX_SECONDS = 7200.0
#: Frames a second that are believed.
_MOST_FPS = 1e6


@dataclass(frozen=True, eq=False)
class Video:
    """A clip: frames, and how fast they are shown.

    Attributes:
        source: a video file; a folder of pictures, in the order of their names; or frames in order,
            each an image of any kind, or one (T, H, W, 3) uint8 array.
        fps: frames a second of a folder or of given frames; a file has its own.
        sample: choose frames by the model's rule. Without it all are seen, as they were chosen.
        max_frames: most frames that the model sees; its own limit if ``None``.
        max_seconds: a longer clip is refused.
    """

    source: VideoInput
    fps: float | None = None
    sample: bool = True
    max_frames: int | None = None
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        """Check what can be checked without opening anything.

        Raises:
            SettingsError: a number out of range.
        """
        if self.fps is not None:
            require_positive("fps", self.fps, _MOST_FPS)
        if self.max_frames is not None:
            require_count("max_frames", self.max_frames)
            if not self.sample:
                raise SettingsError(
                    "max_frames chooses among frames, and sample is off", "leave one of them out"
                )
        require_range("max_seconds", self.max_seconds, 0, math.inf)

    @contextmanager
    def open(self, max_image_pixels: int = MAX_IMAGE_PIXELS) -> Iterator[Frames]:
        """Open the clip, and close it at the end of a ``with`` block.

        Args:
            max_image_pixels: most pixels of a frame.

        Raises:
            VideoError: it cannot be read, has no frames or is too long.
            ImageError: a picture among the frames cannot be read.
            SettingsError: ``fps`` is missing where frames are given, or given for a file.
            DependencyError: a file needs the extra ``video``.
        """
        with closing(self._frames(max_image_pixels)) as frames:
            yield frames

    def __iter__(self) -> Iterator[tuple[float, RGB]]:
        """Yield as :meth:`frames` does."""
        return self.frames()

    def frames(self, max_image_pixels: int = MAX_IMAGE_PIXELS) -> Iterator[tuple[float, RGB]]:
        """Yield every frame, (H, W, 3) uint8, behind the second at which it is shown.

        One is held at a time. Arguments and errors as for :meth:`open`.
        """
        with self.open(max_image_pixels) as frames:
            for index, picture in enumerate(frames.read(range(frames.count))):
                yield index / frames.fps, picture

    def _frames(self, max_pixels: int) -> Frames:
        source = self.source
        if isinstance(source, (str, os.PathLike)):
            if not Path(source).is_dir():
                return self._file(source, max_pixels)
            source = pictures_in(source)
        if isinstance(source, (bytes, bytearray)) or not isinstance(source, (Sequence, np.ndarray)):
            raise VideoError(
                f"the clip is {type(source).__name__!r}",
                "give the path of a video or of a folder of pictures, or a list of frames",
            )
        if self.fps is None:
            raise SettingsError("frames without fps", "say how many are shown in a second")
        return Stills(source, float(self.fps), self.max_seconds, max_pixels)

    def _file(self, path: str | os.PathLike[str], max_pixels: int) -> VideoFile:
        if self.fps is not None:
            raise SettingsError(
                f"fps is {self.fps:g}, and a video file has its own", "leave fps out"
            )
        return VideoFile(path, self.max_seconds, max_pixels)
