"""A video file: its timestamps first, then no more frames than are asked for.

Packets are read once without decoding, which gives the time of every frame and where decoding can
begin. Frames are decoded from the key frame before the one that is wanted; those between are
dropped, so that one frame is held however long the clip is.
"""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import CarveError, VideoError, first_line
from carve_runtime.late_import import late_import
from carve_runtime.method.geometry import RGB
from carve_runtime.video.frames import require_same_size, require_seconds

#: Containers of one file. Playlists and scripts, which name other files or addresses, are left out.
CONTAINERS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif"
#: Those that note when frames are decoded: FFmpeg guesses from it when they are shown.
_DECODING_TIMES = {"avi", "asf"}
_AGAIN = "check the file, or convert it again"
#: Quarter turns are told in degrees.
_QUARTER = 90
#: Frames by which the header's rate may miss the timestamps.
_SLACK = 1.0


class VideoFile:
    """An open file; not for several threads at once."""

    def __init__(self, path: str | os.PathLike[str], max_seconds: float, max_pixels: int) -> None:
        """Read the timestamps.

        Args:
            path: the file.
            max_seconds: longest clip.
            max_pixels: most pixels of a frame.

        Raises:
            VideoError: no file, no video in it, no timestamps, too long, too large, or damaged.
            DependencyError: PyAV is not installed.
        """
        self._name, self._max_pixels = os.fspath(path), max_pixels
        self._av = _pyav()
        _require_file(Path(path))
        with ExitStack() as opened:
            self._container = opened.enter_context(self._open(Path(path), opened))
            self._stream = self._video_stream()
            require_seconds(self._name, self._stated_seconds(), max_seconds)
            self._index(max_seconds)
            self._first = self._turned_size()
            self._close = opened.pop_all()

    @property
    def count(self) -> int:
        """Frames at :attr:`fps` from the first timestamp to the end of the last."""
        return self._count

    @property
    def fps(self) -> float:
        """The header's rate where the timestamps agree with it, else their mean."""
        return self._fps

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright."""
        return self._first

    def close(self) -> None:
        """Close the file."""
        self._close.close()

    def read(self, indices: Sequence[int]) -> Iterator[RGB]:
        """Yield frames of ascending indices, see :meth:`carve_runtime.video.frames.Frames.read`.

        Index ``i`` is the frame that is shown at ``i / fps`` seconds, also where the time between
        frames varies.
        """
        shown = (int(self._pts[self._at(index)]) for index in indices)
        last, picture = None, None
        for wanted, frame in self._decode(shown):
            if wanted != last or picture is None:
                picture, last = self._picture(frame), wanted
            yield picture

    def _at(self, index: int) -> int:
        """Return which frame is shown then: the last one that began, to the nearest tick."""
        ticks = round(index / self._fps / float(self._stream.time_base))
        later = np.searchsorted(self._pts, int(self._pts[0]) + ticks, side="right")
        return max(int(later) - 1, 0)

    def _open(self, path: Path, opened: ExitStack) -> Any:
        """Open the container; a file object keeps FFmpeg from taking a path for an address."""
        try:
            stream = opened.enter_context(path.open("rb"))
        except OSError as error:
            raise VideoError(
                f"{self._name} cannot be read ({error.strerror})", "check the path of the clip"
            ) from error
        with self._refusing("is not a video that can be read"):
            return self._av.open(
                stream, metadata_errors="replace", options={"format_whitelist": CONTAINERS}
            )

    def _video_stream(self) -> Any:
        cover = self._av.stream.Disposition.attached_pic
        streams = [
            stream for stream in self._container.streams.video if not stream.disposition & cover
        ]
        if not streams:
            kinds = sorted({stream.type for stream in self._container.streams})
            raise VideoError(
                f"{self._name} has no video, only {', '.join(kinds) or 'nothing'}",
                "give a file with moving pictures",
            )
        stream = streams[0]
        if stream.codec_context is None:
            raise VideoError(
                f"the video of {self._name} is in a format that this PyAV cannot decode",
                "convert it, to H.264 for instance",
            )
        width, height = stream.width, stream.height
        if not 0 < width * height <= self._max_pixels:
            raise VideoError(
                f"the frames of {self._name} have {width} x {height} pixels, and at most "
                f"{self._max_pixels} are read",
                "scale the video down, or raise max_image_pixels",
            )
        return stream

    def _stated_seconds(self) -> float:
        """Return how long the header says that the video is; 0 if it does not."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return float((self._container.duration or 0) / self._av.time_base)

    def _index(self, max_seconds: float) -> None:
        """Note the time of every frame, and where decoding can begin.

        Frames before the first key frame, in the file or in time, cannot be decoded: a recording
        may begin anywhere.
        """
        pts, tail, base = array("q"), 0, self._stream.time_base
        keys: list[int] = []
        latest, reordered = -math.inf, False
        with self._refusing("is damaged"):
            for packet in self._container.demux(self._stream):
                if not packet.size or not (keys or packet.is_keyframe):
                    continue
                if packet.pts is None:
                    raise self._timeless()
                if packet.is_keyframe:
                    keys.append(packet.pts)
                # What is not shown itself may be what others are made from.
                if packet.is_discard or packet.pts < keys[0]:
                    continue
                pts.append(packet.pts)
                reordered = reordered or packet.pts < latest
                if packet.pts >= latest:
                    latest, tail = packet.pts, packet.duration or 0
                    require_seconds(self._name, float((latest - pts[0]) * base), max_seconds)
        if not pts or not keys:
            raise VideoError(f"the video of {self._name} has no frames", "check the file")
        self._pts: NDArray[np.int64] = np.unique(np.asarray(pts, np.int64))
        self._keys = sorted(set(keys))
        self._guessed = not reordered and self._container.format.name in _DECODING_TIMES
        self._measure(tail)

    def _timeless(self) -> VideoError:
        return VideoError(
            f"{self._name} does not say when its frames are shown",
            "convert it to a container with timestamps, MP4 for instance",
        )

    def _measure(self, tail: int) -> None:
        """Set rate and count; ``tail`` is how long the last frame is shown, in ticks, or 0."""
        base, frames = self._stream.time_base, len(self._pts)
        stated = self._stream.average_rate
        span = float((self._pts[-1] - self._pts[0]) * base)
        tail_seconds = float(tail * base) or (span / (frames - 1) if frames > 1 else 0.0)
        seconds = span + tail_seconds
        if stated and (not seconds or abs(float(stated) * seconds - frames) <= _SLACK):
            self._fps, self._count = float(stated), frames
        elif seconds:
            self._fps, self._count = frames / seconds, frames
        else:
            self._fps, self._count = 1.0, frames

    def _decode(self, shown: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Yield each of these timestamps with its decoded frame."""
        first, seeks, frame = int(self._pts[0]), True, None
        for wanted in shown:
            key = self._keys[max(bisect_right(self._keys, wanted) - 1, 0)]
            if frame is None or (seeks and key > frame.pts):
                begin, decoder, frame = key, self._decoder(key), None
            if frame is None or frame.pts < wanted:
                frame = self._reach(decoder, begin, wanted)
            if seeks and (frame is None or frame.pts > wanted):  # the container seeks inexactly
                seeks, begin, decoder = False, first, self._decoder(None)
                frame = self._reach(decoder, begin, wanted)
            if frame is None or frame.pts != wanted:
                raise self._damaged(wanted)
            yield wanted, frame

    def _reach(self, decoder: Iterator[Any], begin: int, wanted: int) -> Any:
        """Return the first frame that is not before ``wanted``, ``None`` at the end.

        Frames that the decoder knows to be wrong are an error, as later ones are made from them;
        those before the key frame at which it began are not.
        """
        while (frame := self._next(decoder)) is not None:
            if frame.is_corrupt and frame.pts >= begin:
                raise self._damaged(frame.pts)
            if frame.pts >= wanted:
                return frame
        return None

    def _damaged(self, pts: int) -> VideoError:
        seconds = float((pts - self._pts[0]) * self._stream.time_base)
        return VideoError(f"{self._name} is damaged at {seconds:.2f} seconds", _AGAIN)

    def _decoder(self, begin: int | None) -> Iterator[Any]:
        """Return the frames from a key frame on, or from the very beginning."""
        with self._refusing("is damaged"):
            target = int(self._pts[0]) if begin is None else begin
            self._container.seek(target, stream=self._stream, backward=True)
            if begin is None:
                self._container.seek(0)
            frames: Iterator[Any] = self._container.decode(self._stream)
            return frames

    def _next(self, decoder: Iterator[Any]) -> Any:
        """Return the next frame that has a timestamp, ``None`` at the end.

        Frames that the decoder reorders, though their timestamps say otherwise, are an error.
        """
        with self._refusing("is damaged"):
            frame = next((frame for frame in decoder if frame.pts is not None), None)
        if self._guessed and self._stream.codec_context.has_b_frames:
            raise self._timeless()
        return frame

    def _turned_size(self) -> tuple[int, int]:
        frame = next(self._decode([int(self._pts[0])]))[1]
        height, width = self._upright(frame).shape[:2]
        return width, height

    def _picture(self, frame: Any) -> RGB:
        picture = self._upright(frame)
        height, width = picture.shape[:2]
        require_same_size(f"a frame of {self._name}", (width, height), self._first)
        return picture

    def _upright(self, frame: Any) -> RGB:
        """Return a frame as the file says that it is to be shown."""
        if frame.width * frame.height > self._max_pixels:
            raise VideoError(f"a frame of {self._name} is too large", _AGAIN)
        with self._refusing("is damaged"):
            picture = frame.to_ndarray(format="rgb24")
        turns = round(frame.rotation / _QUARTER)
        return np.ascontiguousarray(np.rot90(picture, turns))

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        """Turn what a damaged file makes FFmpeg raise into :class:`VideoError`."""
        try:
            yield
        except (CarveError, MemoryError):
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise VideoError(f"{self._name} {what}: {reason}", _AGAIN) from error


def _pyav() -> ModuleType:
    return late_import("av", "PyAV", 'pip install "carve-vlm[video]"', needs="open")


def _require_file(path: Path) -> None:
    """Raise :class:`VideoError` for a pipe or a device, which might never end."""
    try:
        regular = path.is_file()
    except (OSError, ValueError):
        regular = False
    if not regular:
        kind = "is not a regular file" if path.exists() else "does not exist"
        raise VideoError(f"{path} {kind}", "check the path of the clip")
