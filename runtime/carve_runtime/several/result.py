"""What a question about several images returns."""

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
from carve_runtime.method.geometry import RGB, Box, Window
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.refine import Refined
from carve_runtime.pictures import save_picture, save_steps
from carve_runtime.result import RESULT_FILE, result_html
from carve_runtime.several.pictures import draw_several
from carve_runtime.usage import Counts


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImagePart:
    """One of the images, and what the method has found in it.

    Attributes:
        image: (H, W, 3) uint8, the decoded input that masks and boxes refer to; read-only.
        saliency_map: makes ``saliency``.
        refined: the kept regions, and what makes ``refined_image``.
        grid: (rows, columns) of the attention map, rows * columns = N.
        window: the part of the image that the grid covers, (x0, y0, x1, y1) in pixels; fractions,
            and positions outside the image, are possible.
        question_attention: (T_Q, L, N) float32 for the layers in the settings.
        general_attention: (T_G, L, N) float32.
    """

    image: RGB
    saliency_map: Lazy[NDArray[np.float64]]
    refined: Refined
    grid: tuple[int, int]
    window: Window
    question_attention: NDArray[np.float32]
    general_attention: NDArray[np.float32]

    @property
    def saliency(self) -> NDArray[np.float64]:
        """(H, W), ``S``, on one scale for all images. Made at the first call, then kept."""
        return self.saliency_map.get()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), the kept regions; read-only."""
        return self.refined.mask

    @property
    def kept(self) -> bool:
        """Whether any region is kept."""
        return bool(self.mask.any())

    @property
    def bbox(self) -> Box | None:
        """The regions' half-open box (x0, y0, x1, y1) in pixels; ``None`` without any."""
        return self.refined.box if self.kept else None

    @property
    def refined_image(self) -> RGB | None:
        """(h, w, 3), shown to the final pass; ``None`` where nothing is kept."""
        return self.refined.image if self.kept else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, named as in :meth:`carve_runtime.CarveResult.to_dict`."""
        kept = self.kept
        return {
            "kept": kept,
            "bbox": self.bbox,
            "image_size": self.image.shape[1::-1],
            "refined_size": self.refined.size if kept else None,
            "refined_limited": kept and self.refined.limited,
            "mask_share": float(self.mask.mean()),
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SeveralResult:
    """The answer about several images and everything that led to it.

    Attributes:
        answer: text of the final pass.
        plain_answer: text of the question pass; ``None`` after an early exit.
        token_ids: ids of ``answer``, without the end-of-sequence id.
        plain_token_ids: ids of ``plain_answer``.
        probability: the model's own of ``answer``, its end included: the product over its steps.
        plain_probability: the same of ``plain_answer``.
        skipped: why ``adaptive`` kept the plain answer; ``None`` if it did not. There is then no
            saliency (NaN), nothing is cut away, and the general pass has no steps.
        images: what was found in each, in the order in which they were given.
        entropy: attention entropy of the question pass's last step over all images, in nats.
        timings: seconds by stage, "total" included.
        counts: graph runs and decoder tokens.
        settings: the hyper-parameters in force.
    """

    answer: str
    plain_answer: str | None
    token_ids: tuple[int, ...]
    plain_token_ids: tuple[int, ...] | None
    probability: float
    plain_probability: float | None
    skipped: str | None
    images: tuple[ImagePart, ...]
    entropy: float
    timings: dict[str, float]
    counts: Counts
    settings: Settings

    def __repr__(self) -> str:
        boxes = [part.bbox for part in self.images]
        return (
            f"SeveralResult(answer={self.answer!r}, plain_answer={self.plain_answer!r}, "
            f"boxes={boxes})"
        )

    def _repr_html_(self) -> str:
        """Show the overview and the two answers in a notebook."""
        return result_html(self.plain_answer, self.answer, self.draw())

    def draw(self, question: str = "") -> Image.Image:
        """Return the overview: a row for each image, all maps in one scale of colours."""
        return draw_several(self.images, self.plain_answer, self.answer, question)

    def show(self) -> None:
        """Open the overview picture in the system's viewer, or in the notebook."""
        self.draw().show()

    def save(self, folder: str | os.PathLike[str], question: str = "") -> list[Path]:
        """Write ``result.json``, the overview and, in a folder for each image, its pictures.

        Raises:
            OSError: a file cannot be written. What was there under its name stays.
        """
        folder = Path(folder)
        document = folder / RESULT_FILE
        write_json(document, self.to_dict())
        paths = [save_picture(self.draw(question), folder / "carve.png"), document]
        for number, part in enumerate(self.images, start=1):
            paths.extend(save_steps(part, folder / f"image-{number}"))
        for stale in set(folder.glob("image-*/*.png")).difference(paths):
            stale.unlink()  # of a result that was saved here before
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: as of one image, but for what is said of each image."""
        return {
            "answer": self.answer,
            "plain_answer": self.plain_answer,
            "probability": self.probability,
            "plain_probability": self.plain_probability,
            "skipped": self.skipped,
            "images": [part.to_dict() for part in self.images],
            "entropy": self.entropy,
            "timings": self.timings,
            "counts": vars(self.counts),
            "settings": vars(self.settings),
        }
