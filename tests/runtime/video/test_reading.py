"""Clips of every kind: the right frames, no more of them than are needed, and clear refusals."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_models.errors import CarveError, ImageError, SettingsError, VideoError
from carve_runtime.video.file import VideoFile
from carve_runtime.video.video import Video
from tests.runtime.video.clips import cut, decode_all, moving_square, write_clip, write_sound

CONTAINERS = [
    ("mp4", "libx264"),
    ("mp4", "mpeg4"),
    ("mkv", "libx264"),
    ("webm", "libvpx-vp9"),
    ("avi", "mpeg4"),
    ("ts", "libx264"),
]


@pytest.mark.parametrize(("suffix", "codec"), CONTAINERS)
@pytest.mark.parametrize("fps", [10, Fraction(30000, 1001)])
def test_frames_of_a_file_are_those_of_a_full_decode(
    suffix: str, codec: str, fps: Any, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", moving_square(40), fps=fps, codec=codec)
    expected = [pixels for _, pixels in decode_all(path)]
    indices = [0, 1, 13, 14, 29, 39]
    with Video(path).open() as frames:
        assert (frames.count, frames.size) == (40, (96, 64))
        assert frames.fps == pytest.approx(float(fps))
        for index, frame in zip(indices, frames.read(indices), strict=True):
            np.testing.assert_array_equal(frame, expected[index])
        np.testing.assert_array_equal(next(iter(frames.read([7]))), expected[7])  # once more


def test_timestamps_decide_where_the_rate_varies(tmp_path: Path) -> None:
    seconds = [0, 0.1, 0.2, 0.3, 4.0, 4.1, 8.0, 9.0]
    path = write_clip(tmp_path / "clip.mkv", moving_square(8), seconds=seconds)
    shown = decode_all(path)
    with Video(path).open() as frames:
        times = np.arange(frames.count) / frames.fps
        pictures = list(frames.read(range(frames.count)))
    for time, picture in zip(times, pictures, strict=True):
        began = [pixels for at, pixels in shown if at <= time + 0.001]
        np.testing.assert_array_equal(picture, began[-1])
    assert len({picture.tobytes() for picture in pictures}) < len(pictures)


def test_no_more_is_decoded_than_from_the_key_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "clip.mp4", moving_square(240), codec="mpeg4", gop=12)
    decoded = 0
    usual = VideoFile._next

    def counted(self: VideoFile, decoder: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return usual(self, decoder)

    with Video(path).open() as frames:
        monkeypatch.setattr(VideoFile, "_next", counted)
        assert len(list(frames.read([0, 3, 125, 239]))) == 4
    assert decoded == 4 + 6 + 12  # through index 3; 120 to 125; 228 to 239


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    size = 160, 120
    peaks = []
    for minutes in (1, 10):
        count = minutes * 60 * 5
        path = write_clip(
            tmp_path / f"{minutes}.mp4", moving_square(count, size), fps=5, codec="mpeg4", gop=50
        )
        tracemalloc.start()
        with Video(path).open() as frames:
            assert frames.count == count
            for _ in frames.read(range(0, count, count // 60)):
                pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 5 * size[0] * size[1] * 3 + 150_000


def test_a_clip_is_shown_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", moving_square(3), turn=90)
    with Video(path).open() as frames:
        assert frames.size == (64, 96)
        first = next(iter(frames.read([0])))
    np.testing.assert_array_equal(first, np.rot90(decode_all(path)[0][1]))


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("before", [0.25, 1.5])
def test_a_clip_trimmed_behind_its_key_frame(before: float, codec: str, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving_square(40), gop=40, codec=codec)
    path = cut(source, tmp_path / "trimmed.mp4", before=before)
    expected = [pixels for _, pixels in decode_all(path)]
    assert 0 < len(expected) < 40
    with Video(path).open() as frames:
        assert frames.count == len(expected)
        np.testing.assert_array_equal(list(frames.read(range(frames.count))), expected)
        np.testing.assert_array_equal(next(iter(frames.read([0]))), expected[0])


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("mkv", "libx264"), ("mp4", "mpeg4")]
)
def test_a_clip_that_begins_between_key_frames(suffix: str, codec: str, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving_square(40), codec=codec)
    path = cut(source, tmp_path / f"rest.{suffix}", skip=3)
    whole = [pixels for _, pixels in decode_all(source)]
    with Video(path).open() as frames:
        assert 0 < frames.count < 40
        indices = [0, 1, frames.count - 1]
        for index, frame in zip(indices, frames.read(indices), strict=True):
            np.testing.assert_array_equal(frame, whole[index - frames.count])


def test_pictures_that_lead_to_a_key_frame_are_left_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", moving_square(40), codec="mpeg2video", b_frames=2)
    open_gop = cut(path, tmp_path / "rest.ts", skip=3)
    whole = [pixels for _, pixels in decode_all(path)]
    with Video(open_gop).open() as frames:
        np.testing.assert_array_equal(next(iter(frames.read([0]))), whole[-frames.count])


def stills(tmp_path: Path) -> list[Any]:
    """Return the same three frames as pictures in a folder, in lists and in one array."""
    arrays = list(moving_square(3))
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{index:03}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return [tmp_path, arrays, [Image.fromarray(array) for array in arrays], np.stack(arrays)]


@pytest.mark.parametrize("kind", range(4))
def test_pictures_are_frames(kind: int, tmp_path: Path) -> None:
    source = stills(tmp_path)[kind]
    with Video(source, fps=2).open() as frames:
        assert (frames.count, frames.fps, frames.size) == (3, 2.0, (96, 64))
        for expected, frame in zip(moving_square(3), frames.read(range(3)), strict=True):
            np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize(
    ("suffix", "codec", "b_frames"),
    [("avi", "mpeg4", 2), ("avi", "libx264", 0), ("asf", "mpeg4", 2), ("flv", "libx264", 2)],
)
def test_frames_that_are_decoded_in_another_order(
    suffix: str, codec: str, b_frames: int, tmp_path: Path
) -> None:
    path = tmp_path / f"clip.{suffix}"
    write_clip(path, moving_square(30), codec=codec, b_frames=b_frames)
    expected = [pixels for _, pixels in decode_all(path)]
    with Video(path).open() as frames:
        np.testing.assert_array_equal(list(frames.read(range(frames.count))), expected)


def broken(path: Path) -> Path:
    path.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(range(256)) * 8)
    return path


def cut_short(path: Path) -> Path:
    write_clip(path, moving_square(40))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def spoilt(path: Path) -> Path:
    """Zero a part of the frames of an MP4, whose index is at its end."""
    data = bytearray(write_clip(path, moving_square(40, (320, 240)), gop=40).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    return path


def blotted(path: Path) -> Path:
    """Zero less of one whose decoder goes on, and knows that it shows what was not there."""
    write_clip(path, moving_square(40, (320, 240)), codec="mpeg4", gop=40)
    data = bytearray(path.read_bytes())
    start = int(0.3 * len(data))
    data[start : start + 600] = bytes(600)
    path.write_bytes(data)
    return path


def ten_hours(path: Path) -> Path:
    return write_clip(path, moving_square(3), seconds=[0, 18000, 36000])


def playlist(path: Path) -> Path:
    other = write_clip(path.with_suffix(".ts"), moving_square(10))
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{other}\n#EXT-X-ENDLIST\n")
    return path


def untimed(path: Path) -> Path:
    """Write B-frames of H.264, for which FFmpeg takes the order of decoding as that of showing."""
    return write_clip(path, moving_square(30), b_frames=2)


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


def nothing(path: Path) -> Path:
    path.write_bytes(b"")
    return path


REFUSED: list[tuple[str, Callable[[Path], object], type[CarveError], str]] = [
    ("clip.mp4", broken, VideoError, "not a video"),
    ("clip.mp4", cut_short, VideoError, "Invalid data"),
    ("clip.mp4", spoilt, VideoError, "damaged"),
    ("clip.mp4", blotted, VideoError, "damaged at"),
    ("clip.mp4", nothing, VideoError, "not a video"),
    ("clip.mp4", lambda path: path, VideoError, "does not exist"),
    ("clip.m4a", write_sound, VideoError, "no video, only audio"),
    ("clip.mkv", ten_hours, VideoError, "lasts 36000 seconds, and clips of at most 7200"),
    ("clip.avi", untimed, VideoError, "does not say when"),
    ("clip.asf", untimed, VideoError, "does not say when"),
    ("clip.m3u8", playlist, VideoError, "not a video"),
    ("frames", empty_folder, VideoError, "no pictures"),
    ("x", lambda _: [], VideoError, "no frames"),
    ("x", lambda _: 7, VideoError, "'int'"),
    ("x", lambda _: np.array(5), VideoError, r"shape \(\)"),
    ("x", lambda _: np.zeros((8, 8, 3), np.uint8), VideoError, r"shape \(8, 8, 3\)"),
    ("x", lambda _: np.zeros((2, 8, 8, 4), np.uint8), VideoError, r"shape \(2, 8, 8, 4\)"),
    ("x", lambda _: np.zeros((0, 8, 8, 3), np.uint8), VideoError, "no frames"),
    ("x", lambda _: b"bytes", VideoError, "'bytes'"),
    ("x", lambda _: [np.zeros((8, 8), np.uint8)], ImageError, "shape"),
    ("x", lambda _: [np.zeros((s, 8, 3), np.uint8) for s in (8, 9)], VideoError, "one size"),
]


@pytest.mark.parametrize(("name", "make", "kind", "says"), REFUSED)
def test_what_cannot_be_read_is_refused(
    name: str, make: Callable[[Path], Any], kind: type[CarveError], says: str, tmp_path: Path
) -> None:
    source = make(tmp_path / name)
    fps = None if isinstance(source, Path) and not source.is_dir() else 1
    with pytest.raises(kind, match=says), Video(source, fps).open() as frames:
        list(frames.read(range(frames.count)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0},
        {"fps": "fast"},
        {"max_frames": 0},
        {"max_frames": 1.5},
        {"max_seconds": -1},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Video("clip.mp4", **wrong)


def test_a_rate_goes_with_frames_alone(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="without fps"), Video(list(moving_square(2))).open():
        pass
    path = write_clip(tmp_path / "clip.mp4", moving_square(2))
    with pytest.raises(SettingsError, match="its own"), Video(path, fps=2).open():
        pass


def test_large_frames_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", moving_square(2))
    with pytest.raises(VideoError, match="96 x 64"), Video(path).open(max_image_pixels=6000):
        pass
