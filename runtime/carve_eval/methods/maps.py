"""From the attention of two passes to a map of what matters: arrays in, an array out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

#: (N,) float32 attention to the question and to the general instruction in, (N,) out.
AttentionMap: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def relative(question: NDArray[np.float32], general: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ViCrop's relative attention, the question's divided by the general instruction's.

    "MLLMs Know Where to Look", arXiv 2502.17422, section 5. There is no regulariser; an attention
    that was rounded to 0 counts as the least normal number.
    """
    return np.asarray(question / np.maximum(general, np.finfo(np.float32).tiny))


def question_alone(
    question: NDArray[np.float32], general: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the question's attention as it is: what the division is worth."""
    return question
