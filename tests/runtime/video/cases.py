"""The clips that are compared with Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_runtime import Video

QUESTION = "What happens to the blue circle?"
#: A case of tests/cases for each family that takes clips.
FAMILIES = ("qwen2_5_vl", "qwen3_vl", "smolvlm", "internvl")
_SIZE = 60, 44


@dataclass(frozen=True)
class Clip:
    """Frames that anyone can make again."""

    name: str
    count: int
    fps: float
    sample: bool

    @property
    def slug(self) -> str:
        """The name as a test's."""
        return self.name.replace(",", "").replace(" ", "-")

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield (H, W, 3) frames: a square moves over soft stripes."""
        width, height = _SIZE
        y, x = np.indices((height, width))
        waves = [np.sin(x / 7 + color) * np.cos(y / 5 - color) for color in range(3)]
        back = (128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)
        for index in range(self.count):
            frame = back.copy()
            left, top = 3 * index % (width - 12), 2 * index % (height - 12)
            frame[top : top + 12, left : left + 12] = 20 * index % 256, 255 - 9 * index % 256, 40
            yield frame

    def video(self) -> Video:
        """Return it as a caller gives it."""
        return Video(list(self.frames()), self.fps, sample=self.sample)


CLIPS = (
    Clip("one frame", 1, 2.0, sample=False),
    Clip("an odd number, given", 5, 2.0, sample=False),
    Clip("an odd number, sampled", 7, 3.0, sample=True),
    Clip("more than the budget", 90, 5.0, sample=True),
)
