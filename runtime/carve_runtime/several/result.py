"""What a question about several images returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_runtime.method.geometry import RGB, Box, Window
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.refine import Refined
from carve_runtime.pictures import save_steps
from carve_runtime.result import AnswerResult
from carve_runtime.several.pictures import draw_several


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
class SeveralResult(AnswerResult):
    """The answer about several images and everything that led to it.

    Attributes:
        skipped: why ``adaptive`` kept the plain answer; ``None`` if it did not. There is then no
            saliency (NaN), nothing is cut away, and the general pass has no steps.
        images: what was found in each, in the order in which they were given.
    """

    skipped: str | None
    images: tuple[ImagePart, ...]

    def draw(self, question: str = "") -> Image.Image:
        """Return the overview: a row for each image, all maps in one scale of colours."""
        return draw_several(self.images, self.plain_answer, self.answer, question)

    def _shown(self) -> str:
        return f"boxes={[part.bbox for part in self.images]}"

    def _found(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "images": [part.to_dict() for part in self.images]}

    def _save_pictures(self, folder: Path) -> list[Path]:
        """Write a folder for each image."""
        paths = []
        for number, part in enumerate(self.images, start=1):
            paths.extend(save_steps(part, folder / f"image-{number}"))
        for stale in set(folder.glob("image-*/*.png")).difference(paths):
            stale.unlink()  # of a result that was saved here before
        return paths
