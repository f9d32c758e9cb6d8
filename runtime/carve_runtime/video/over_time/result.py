"""What a question about a clip returns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.replacing import write_json
from carve_models.settings import Settings
from carve_runtime.method.geometry import Box, Window
from carve_runtime.pictures import save_picture
from carve_runtime.result import RESULT_FILE, result_html
from carve_runtime.usage import Counts
from carve_runtime.video.clip import Seen
from carve_runtime.video.excerpt import Excerpt
from carve_runtime.video.over_time.interval import ClipSettings, Interval
from carve_runtime.video.over_time.pictures import draw_strip


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VideoResult:
    """The answer about a clip through CARVE over time, and what led to it.

    Attributes:
        answer: text of the final pass, about the refined clip alone.
        plain_answer: text of the question pass, about the whole clip.
        token_ids: ids of ``answer``, without the end-of-sequence id.
        plain_token_ids: ids of ``plain_answer``.
        probability: the model's own of ``answer``, its end included: the product over its steps.
        plain_probability: the same of ``plain_answer``.
        interval: when in the clip the question points to.
        box: where in the frames of the interval, half-open (x0, y0, x1, y1) in pixels; ``None``
            if they are not cropped.
        mass: (moments,), the share of the saliency that each moment holds, 1 in all.
        saliency: (moments, rows, columns), ``S`` of each token, on one scale.
        window: the part of a frame that the grid covers, in pixels.
        seen: what the model has seen of the whole clip.
        refined: the refined clip; its frames are read again from the source at each call of
            ``refined.pictures()``.
        entropy: attention entropy of the question pass's last step over all moments, in nats.
        timings: seconds by stage, "total" included; not those of opening the clip.
        counts: graph runs and decoder tokens, likewise.
        settings: the hyper-parameters of the maps in force.
        clip_settings: those of the refinement.
    """

    answer: str
    plain_answer: str
    token_ids: tuple[int, ...]
    plain_token_ids: tuple[int, ...]
    probability: float
    plain_probability: float
    interval: Interval
    box: Box | None
    mass: NDArray[np.float64]
    saliency: NDArray[np.float64]
    window: Window
    seen: Seen
    refined: Excerpt
    entropy: float
    timings: dict[str, float]
    counts: Counts
    settings: Settings
    clip_settings: ClipSettings

    def __repr__(self) -> str:
        start, stop = self.interval.seconds
        return (
            f"VideoResult(answer={self.answer!r}, plain_answer={self.plain_answer!r}, "
            f"seconds=({start:.2f}, {stop:.2f}), box={self.box})"
        )

    def _repr_html_(self) -> str:
        """Show the strip and the two answers in a notebook."""
        return result_html(self.plain_answer, self.answer, self.draw())

    def draw(self, question: str = "") -> Image.Image:
        """Return a strip: moments with heat, mass over time, and the refined clip below.

        A few frames are read again from the source; errors as for
        :meth:`carve_runtime.Carve.open_video`.
        """
        return draw_strip(self, question)

    def show(self) -> None:
        """Open the strip in the system's viewer, or in the notebook."""
        self.draw().show()

    def save(self, folder: str | os.PathLike[str], question: str = "") -> list[Path]:
        """Write ``result.json``, the strip ``carve.png`` and the refined frames.

        Raises:
            OSError: a file cannot be written. What was there under its name stays.
        """
        folder = Path(folder)
        document = folder / RESULT_FILE
        write_json(document, self.to_dict())
        paths = [save_picture(self.draw(question), folder / "carve.png"), document]
        for index, pixels in zip(self.refined.indices, self.refined.pictures(), strict=True):
            path = folder / "refined" / f"{index:06d}.png"
            paths.append(save_picture(Image.fromarray(pixels), path))
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, named as in :meth:`carve_runtime.CarveResult.to_dict`."""
        return {
            "answer": self.answer,
            "plain_answer": self.plain_answer,
            "probability": self.probability,
            "plain_probability": self.plain_probability,
            "interval": vars(self.interval),
            "bbox": self.box,
            "frame_size": self.seen.size,
            "mass": self.mass.tolist(),
            "moments": [
                {"seconds": moment.seconds, "frames": moment.frames} for moment in self.seen.moments
            ],
            "refined_frames": self.refined.indices,
            "entropy": self.entropy,
            "timings": self.timings,
            "counts": vars(self.counts),
            "settings": vars(self.settings),
            "clip_settings": vars(self.clip_settings),
        }
