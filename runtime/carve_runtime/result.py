"""What a question returns."""

from __future__ import annotations

import html
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
from carve_runtime.pictures import draw_result, jpeg_address, save_pictures
from carve_runtime.usage import Counts

#: What :meth:`CarveResult.save` writes beside the pictures.
RESULT_FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class PlainResult:
    """The plain answer.

    Attributes:
        answer: text.
        token_ids: its ids, without the end-of-sequence id.
        probability: the model's own of the answer, its end included.
        timings: seconds by stage, "total" included.
        counts: graph runs and decoder tokens.
    """

    answer: str
    token_ids: tuple[int, ...]
    probability: float
    timings: dict[str, float]
    counts: Counts

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, named as in :meth:`CarveResult.to_dict`."""
        return {
            "plain_answer": self.answer,
            "plain_probability": self.probability,
            "timings": self.timings,
            "counts": vars(self.counts),
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CarveResult:
    """The answer through CARVE and everything that led to it.

    Attributes:
        answer: text of the final pass.
        plain_answer: text of the question pass; ``None`` after an early exit.
        token_ids: ids of ``answer``, without the end-of-sequence id.
        plain_token_ids: ids of ``plain_answer``.
        probability: the model's own of ``answer``, its end included: the product over its steps.
        plain_probability: the same of ``plain_answer``.
        skipped: why ``adaptive`` kept the plain answer; ``None`` if it did not. There is then no
            saliency (NaN), nothing is cut away, and the general pass has no steps.
        image: (H, W, 3) uint8, the decoded input that masks and boxes refer to; read-only.
        saliency_map: makes ``saliency``.
        refined: the kept regions, and what makes ``refined_image``.
        grid: (rows, columns) of the attention map, rows * columns = N.
        window: the part of the image that the grid covers, (x0, y0, x1, y1) in pixels; fractions,
            and positions outside the image, are possible.
        question_attention: (T_Q, L, N) float32 for the layers in ``settings.layers``.
        general_attention: (T_G, L, N) float32, of the bundle's own general instruction; T_G is 0
            where the method does not read it.
        entropy: attention entropy of the question pass's last step, in nats.
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
    image: RGB
    saliency_map: Lazy[NDArray[np.float64]]
    refined: Refined
    grid: tuple[int, int]
    window: Window
    question_attention: NDArray[np.float32]
    general_attention: NDArray[np.float32]
    entropy: float
    timings: dict[str, float]
    counts: Counts
    settings: Settings

    @property
    def saliency(self) -> NDArray[np.float64]:
        """(H, W), ``S``; NaN where the model saw nothing. Made at the first call, then kept."""
        return self.saliency_map.get()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), the kept regions; read-only."""
        return self.refined.mask

    @property
    def bbox(self) -> Box:
        """The regions' half-open box (x0, y0, x1, y1) in pixels."""
        return self.refined.box

    @property
    def refined_image(self) -> RGB:
        """(h, w, 3), what the final pass was asked about. Made at the first call, then kept."""
        return self.refined.image

    @property
    def refined_size(self) -> tuple[int, int]:
        """(w, h) of ``refined_image``, which need not be made for it."""
        return self.refined.size

    @property
    def refined_limited(self) -> bool:
        """Whether ``max_refined_pixels`` or ``final_pixels`` reduced the refined image."""
        return self.refined.limited

    def __repr__(self) -> str:
        return (
            f"CarveResult(answer={self.answer!r}, plain_answer={self.plain_answer!r}, "
            f"bbox={self.bbox})"
        )

    def _repr_html_(self) -> str:
        """Show the overview and the two answers in a notebook."""
        return result_html(self.plain_answer, self.answer, self.draw())

    def draw(self, question: str = "") -> Image.Image:
        """Return the overview picture: :func:`carve_runtime.draw_result`."""
        return draw_result(self, question)

    def show(self) -> None:
        """Open the overview picture in the system's viewer, or in the notebook."""
        self.draw().show()

    def save(self, folder: str | os.PathLike[str], question: str = "") -> list[Path]:
        """Write ``result.json``, every intermediate picture and the overview; return their paths.

        Raises:
            OSError: a file cannot be written. What was there under its name stays.
        """
        folder = Path(folder)
        document = folder / RESULT_FILE
        write_json(document, self.to_dict())
        return [*save_pictures(self, folder, question), document]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: answers, box, sizes, cost, settings; no pictures or maps.

        ``mask_share`` is the share of the image's pixels that are kept, sizes are (w, h).
        """
        return {
            "answer": self.answer,
            "plain_answer": self.plain_answer,
            "probability": self.probability,
            "plain_probability": self.plain_probability,
            "skipped": self.skipped,
            "bbox": self.bbox,
            "image_size": self.image.shape[1::-1],
            "refined_size": self.refined_size,
            "refined_limited": self.refined_limited,
            "mask_share": float(self.mask.mean()),
            "entropy": self.entropy,
            "timings": self.timings,
            "counts": vars(self.counts),
            "settings": vars(self.settings),
        }


def result_html(plain_answer: str | None, answer: str, overview: Image.Image) -> str:
    """Return what a notebook shows of a result."""
    return (
        f"<p>plain: <b>{_escaped(plain_answer)}</b>, CARVE: <b>{_escaped(answer)}</b></p>"
        f'<img alt="original, contrast, kept regions, refined image" '
        f'style="max-width: 100%" src="{jpeg_address(overview)}">'
    )


def _escaped(answer: str | None) -> str:
    return "none" if answer is None else html.escape(answer)
