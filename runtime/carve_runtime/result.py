"""What a question returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings
from carve_runtime.method.geometry import RGB, Box
from carve_runtime.usage import Counts


@dataclass(frozen=True, kw_only=True)
class PlainResult:
    """The plain answer.

    Attributes:
        answer: text.
        token_ids: its ids, without the end-of-sequence id.
        timings: seconds by stage, "total" included.
        counts: graph runs and decoder tokens.
    """

    answer: str
    token_ids: tuple[int, ...]
    timings: dict[str, float]
    counts: Counts


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CarveResult:
    """The answer through CARVE and everything that led to it.

    Attributes:
        answer: text of the final pass.
        plain_answer: text of the question pass; ``None`` after an early exit.
        token_ids: ids of ``answer``, without the end-of-sequence id.
        plain_token_ids: ids of ``plain_answer``.
        plain_probability: the model's own probability of ``plain_answer``, its end included.
        skipped: why ``adaptive`` kept the plain answer; ``None`` if it did not. There is then no
            saliency (NaN), nothing is cut away, and the general pass has no steps.
        image: (H, W, 3) uint8, the decoded input that masks and boxes refer to.
        saliency: (H, W) float64, ``S``; NaN where the model saw nothing.
        mask: (H, W) bool, the kept regions.
        bbox: their half-open box (x0, y0, x1, y1) in pixels.
        refined_image: (h, w, 3) uint8, what the final pass looked at.
        refined_limited: whether ``max_refined_pixels`` or ``final_pixels`` reduced it.
        grid: (rows, columns) of the attention map, rows * columns = N.
        question_attention: (T_Q, L, N) float32 for the layers in ``settings.layers``.
        general_attention: (T_G, L, N) float32; T_G is 0 where ``settings.contrast`` is "off".
        entropy: attention entropy of the question pass's last step, in nats.
        timings: seconds by stage, "total" included.
        counts: graph runs and decoder tokens.
        settings: the hyper-parameters in force.
    """

    answer: str
    plain_answer: str | None
    token_ids: tuple[int, ...]
    plain_token_ids: tuple[int, ...] | None
    plain_probability: float | None
    skipped: str | None
    image: RGB
    saliency: NDArray[np.float64]
    mask: NDArray[np.bool_]
    bbox: Box
    refined_image: RGB
    refined_limited: bool
    grid: tuple[int, int]
    question_attention: NDArray[np.float32]
    general_attention: NDArray[np.float32]
    entropy: float
    timings: dict[str, float]
    counts: Counts
    settings: Settings

    def __repr__(self) -> str:
        return (
            f"CarveResult(answer={self.answer!r}, plain_answer={self.plain_answer!r}, "
            f"bbox={self.bbox})"
        )
