"""What a question returns."""

from __future__ import annotations

import html
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.replacing import write_json
from carve_models.settings import Settings
from carve_runtime.decoder.attention_passes import QuestionPass
from carve_runtime.decoder.generation import Pass
from carve_runtime.method.geometry import RGB, Box, Window
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.refine import Refined
from carve_runtime.pictures import draw_result, jpeg_address, save_picture, save_steps
from carve_runtime.prompt.request import Request
from carve_runtime.usage import Counts, Usage

#: Turns token ids into text.
Decode: TypeAlias = Callable[[Sequence[int]], str]

#: What :meth:`AnswerResult.save` writes beside the pictures.
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

    @classmethod
    def of(cls, decode: Decode, answer: Pass, usage: Usage) -> PlainResult:
        """Return what a pass has answered; the clock ends here."""
        return cls(
            answer=decode(answer.ids),
            token_ids=answer.ids,
            probability=answer.probability,
            timings=usage.clock.finish(),
            counts=usage.counts,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, named as in :meth:`CarveResult.to_dict`."""
        return {
            "plain_answer": self.answer,
            "plain_probability": self.probability,
            "timings": self.timings,
            "counts": vars(self.counts),
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnswerResult(ABC):
    """What every answer through CARVE has, whatever it is about.

    Attributes:
        answer: text of the final pass.
        plain_answer: text of the question pass; ``None`` after an early exit.
        token_ids: ids of ``answer``, without the end-of-sequence id.
        plain_token_ids: ids of ``plain_answer``.
        probability: the model's own of ``answer``, its end included: the product over its steps.
        plain_probability: the same of ``plain_answer``.
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
    entropy: float
    timings: dict[str, float]
    counts: Counts
    settings: Settings

    def __repr__(self) -> str:
        name, shown = type(self).__name__, self._shown()
        return f"{name}(answer={self.answer!r}, plain_answer={self.plain_answer!r}, {shown})"

    def _repr_html_(self) -> str:
        """Show the picture and the two answers in a notebook."""
        plain, answer = (_escaped(text) for text in (self.plain_answer, self.answer))
        return (
            f"<p>plain: <b>{plain}</b>, CARVE: <b>{answer}</b></p>"
            f'<img alt="original, contrast, kept regions, refined image" '
            f'style="max-width: 100%" src="{jpeg_address(self.draw())}">'
        )

    @abstractmethod
    def draw(self, question: str = "") -> Image.Image:
        """Return a picture of what led to the answer."""

    def show(self) -> None:
        """Open that picture in the system's viewer, or in the notebook."""
        self.draw().show()

    def save(self, folder: str | os.PathLike[str], question: str = "") -> list[Path]:
        """Write ``result.json``, the picture ``carve.png`` and those that it is made of.

        Returns:
            their paths, ``result.json`` last.

        Raises:
            OSError: a file cannot be written. What was there under its name stays.
        """
        folder = Path(folder)
        document = folder / RESULT_FILE
        write_json(document, self.to_dict())
        overview = save_picture(self.draw(question), folder / "carve.png")
        return [*self._save_pictures(folder), overview, document]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: answers, what was found, cost, settings; no pictures or maps.

        ``mask_share`` is the share of an image's pixels that are kept, sizes are (w, h).
        """
        return {
            "answer": self.answer,
            "plain_answer": self.plain_answer,
            "probability": self.probability,
            "plain_probability": self.plain_probability,
            **self._found(),
            "entropy": self.entropy,
            "timings": self.timings,
            "counts": vars(self.counts),
            "settings": vars(self.settings),
        }

    @abstractmethod
    def _shown(self) -> str:
        """Return what ``repr`` says of where the model looked."""

    @abstractmethod
    def _found(self) -> dict[str, Any]:
        """Return what :meth:`to_dict` says of it."""

    @abstractmethod
    def _save_pictures(self, folder: Path) -> list[Path]:
        """Write the pictures that the one of :meth:`draw` is made of; return their paths."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CarveResult(AnswerResult):
    """The answer about an image through CARVE and everything that led to it.

    Attributes:
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
    """

    skipped: str | None
    image: RGB
    saliency_map: Lazy[NDArray[np.float64]]
    refined: Refined
    grid: tuple[int, int]
    window: Window
    question_attention: NDArray[np.float32]
    general_attention: NDArray[np.float32]

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

    def draw(self, question: str = "") -> Image.Image:
        """Return the overview picture: :func:`carve_runtime.draw_result`."""
        return draw_result(self, question)

    def _shown(self) -> str:
        return f"bbox={self.bbox}"

    def _found(self) -> dict[str, Any]:
        return {
            "skipped": self.skipped,
            "bbox": self.bbox,
            "image_size": self.image.shape[1::-1],
            "refined_size": self.refined_size,
            "refined_limited": self.refined_limited,
            "mask_share": float(self.mask.mean()),
        }

    def _save_pictures(self, folder: Path) -> list[Path]:
        return save_steps(self, folder)


def answer_fields(
    decode: Decode, question: QuestionPass, final: Pass, request: Request
) -> dict[str, Any]:
    """Return the fields of :class:`AnswerResult`; the request's clock ends here.

    Args:
        decode: ids to text.
        question: the pass with the question.
        final: the pass that answers.
        request: both passes'.
    """
    plain = question.plain
    return {
        "answer": decode(final.ids),
        "plain_answer": decode(plain.ids) if plain else None,
        "token_ids": final.ids,
        "plain_token_ids": plain.ids if plain else None,
        "probability": final.probability,
        "plain_probability": plain.probability if plain else None,
        "entropy": question.entropy,
        "timings": request.usage.clock.finish(),
        "counts": request.usage.counts,
        "settings": request.settings,
    }


def _escaped(answer: str | None) -> str:
    return "none" if answer is None else html.escape(answer)
