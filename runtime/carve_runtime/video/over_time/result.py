"""What a question about a clip returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_runtime.method.geometry import Box, Window
from carve_runtime.pictures import save_picture
from carve_runtime.result import AnswerResult
from carve_runtime.video.clip import Seen
from carve_runtime.video.excerpt import Excerpt
from carve_runtime.video.over_time.interval import ClipSettings, Interval
from carve_runtime.video.over_time.pictures import draw_strip


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VideoResult(AnswerResult):
    """The answer about a clip through CARVE over time, and what led to it.

    The final pass is about the refined clip alone; neither ``timings`` nor ``counts`` have those of
    opening the clip.

    Attributes:
        interval: when in the clip the question points to.
        box: where in the frames of the interval, half-open (x0, y0, x1, y1) in pixels; ``None``
            if they are not cropped.
        mass: (moments,), the share of the saliency that each moment holds, 1 in all.
        saliency: (moments, rows, columns), ``S`` of each token, on one scale.
        window: the part of a frame that the grid covers, in pixels.
        seen: what the model has seen of the whole clip.
        refined: the refined clip; its frames are read again from the source at each call of
            ``refined.pictures()``.
        clip_settings: the settings of the refinement.
    """

    interval: Interval
    box: Box | None
    mass: NDArray[np.float64]
    saliency: NDArray[np.float64]
    window: Window
    seen: Seen
    refined: Excerpt
    clip_settings: ClipSettings

    def draw(self, question: str = "") -> Image.Image:
        """Return a strip: moments with heat, mass over time, and the refined clip below.

        A few frames are read again from the source; errors as for
        :meth:`carve_runtime.Carve.open_video`.
        """
        return draw_strip(self, question)

    def _shown(self) -> str:
        start, stop = self.interval.seconds
        return f"seconds=({start:.2f}, {stop:.2f}), box={self.box}"

    def _found(self) -> dict[str, Any]:
        return {
            "interval": vars(self.interval),
            "bbox": self.box,
            "frame_size": self.seen.size,
            "mass": self.mass.tolist(),
            "moments": [
                {"seconds": moment.seconds, "frames": moment.frames} for moment in self.seen.moments
            ],
            "refined_frames": self.refined.indices,
            "clip_settings": vars(self.clip_settings),
        }

    def _save_pictures(self, folder: Path) -> list[Path]:
        """Write the refined frames."""
        frames = zip(self.refined.indices, self.refined.pictures(), strict=True)
        return [
            save_picture(Image.fromarray(pixels), folder / "refined" / f"{index:06d}.png")
            for index, pixels in frames
        ]
