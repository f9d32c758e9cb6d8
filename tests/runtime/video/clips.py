"""Video files made for a test, with PyAV's own encoders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

#: Ticks of a second where a clip's times are given.
_TICKS = 1000


def moving_square(count: int, size: tuple[int, int] = (96, 64)) -> Iterable[NDArray[np.uint8]]:
    """Yield (H, W, 3) frames of which no two neighbours are alike."""
    width, height = size
    y, x = np.indices((height, width))
    background = np.stack([255 * x // width, 255 * y // height, (x + y) % 256], axis=-1)
    for index in range(count):
        frame = background.astype(np.uint8)
        left, top = 5 * index % (width - 16), 3 * index % (height - 16)
        frame[top : top + 16, left : left + 16] = 40 * index % 256, 255 - 30 * index % 256, 128
        yield frame


def write_clip(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: int | Fraction = 10,
    codec: str = "libx264",
    seconds: Sequence[float] | None = None,
    gop: int = 12,
    turn: int = 0,
    b_frames: int | None = None,
) -> Path:
    """Write frames, at times of their own if ``seconds`` are given, and return the path."""
    with av.open(str(path), "w") as container:
        stream: Any = None
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if stream is None:
                stream = container.add_stream(codec, rate=fps)
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt, stream.gop_size = "yuv420p", gop
                if b_frames is not None:
                    stream.codec_context.max_b_frames = b_frames
                if turn:
                    stream.set_display_rotation(turn)
                if seconds is not None:
                    stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
            frame.pts = index if seconds is None else round(seconds[index] * _TICKS)
            if seconds is not None:
                frame.time_base = Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(source: Path, path: Path, *, skip: int = 0, before: float = 0) -> Path:
    """Copy a clip without encoding it again, and return the path.

    Args:
        source: the clip.
        path: the copy.
        skip: packets at the start that are left out.
        before: seconds by which the rest begins before 0, which an MP4 then does not show.
    """
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        ticks = round(before / stream.time_base)
        for packet in [packet for packet in old.demux(stream) if packet.size][skip:]:
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
            new.mux(packet)
    return path


def write_sound(path: Path, cover: NDArray[np.uint8] | None = None) -> Path:
    """Write a second of silence."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decode_all(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    """Return the time in seconds and the pixels of every frame, in order, without a seek."""
    with av.open(str(path)) as container:
        return [
            (float(frame.time or 0), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]
