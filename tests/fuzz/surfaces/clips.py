"""Video files with bytes exchanged, lost and doubled, in containers and codecs of PyAV's."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from carve_runtime.video.video import Video
from tests.fuzz.mutations import byte_edits, damaged
from tests.runtime.video.clips import moving_square, write_clip

#: How the good clips are written: end of the name, codec.
_WRITTEN = [
    (".mp4", "libx264"),
    (".mp4", "mpeg4"),
    (".mkv", "libx264"),
    (".mkv", "libvpx-vp9"),
    (".webm", "libvpx"),
    (".avi", "mpeg4"),
    (".ts", "mpeg2video"),
    (".flv", "flv"),
    (".ogg", "libvpx"),
    (".wmv", "wmv2"),
]
_FRAMES, _SIZE = 9, (64, 48)
#: A damaged header may promise more.
_MOST_SECONDS, _MOST_PIXELS = 3600.0, 1 << 16
#: Frames that are decoded of each clip.
_SHOWN = 6


class _Clips:
    def __init__(self, folder: Path) -> None:
        self._file = folder / "clip"  # FFmpeg tells the container from its content
        good = [
            write_clip(
                folder / f"good{suffix}", moving_square(_FRAMES, _SIZE), codec=codec, gop=4
            ).read_bytes()
            for suffix, codec in _WRITTEN
        ]
        self.inputs = st.sampled_from(good).flatmap(
            lambda data: byte_edits(len(data)).map(lambda edits: damaged(data, edits))
        )

    def use(self, data: bytes) -> None:
        """Read the times of a clip, and frames that are spread over it."""
        self._file.write_bytes(data)
        with Video(self._file, max_seconds=_MOST_SECONDS).open(_MOST_PIXELS) as frames:
            assert frames.fps > 0
            step = max(1, frames.count // _SHOWN)
            width, height = frames.size
            for picture in frames.read(range(0, frames.count, step)):
                assert picture.shape == (height, width, 3)


def prepare(folder: Path) -> _Clips:
    """Return the surface."""
    return _Clips(folder)
