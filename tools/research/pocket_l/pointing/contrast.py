"""The maps that are compared, for many questions and every layer at once."""

from __future__ import annotations

from typing import Literal, TypeAlias, Union, get_args

import numpy as np
from numpy.typing import NDArray

from carve_runtime.method.automatic import automatic_regularizer
from tools.research.pocket_l.pointing.split import Split

Floats = NDArray[np.float32]
#: Which passes end with the suffix: none, both as in the paper, the question's only.
Wording = Literal["none", "both", "question"]
WORDINGS: tuple[Wording, ...] = get_args(Wording)
#: Lambda; "auto", the runtime's; or proposition C.5 read per token, over layers.
Regularizer: TypeAlias = Union[float, Literal["auto", "per token"]]  # noqa: UP007 - for 3.10
REGULARIZERS: tuple[Regularizer, ...] = (
    *(10.0**exponent for exponent in range(-8, -1)),
    "auto",
    "per token",
)


def question_attention(split: Split, wording: Wording) -> Floats:
    """Return ``A_Q``, (n, layers, tokens)."""
    return np.asarray(split.question[int(wording != "none")])


def general_attention(split: Split, wording: Wording) -> Floats:
    """Return ``A_G``, (n, layers, tokens)."""
    return np.asarray(split.general[int(wording == "both")])


def contrast(question: Floats, general: Floats, regularizer: Regularizer) -> Floats:
    """Return ``A_Q / (A_G + lambda)`` (paper, eq. 4.6) of (..., layers, tokens)."""
    return np.asarray(question / (general + _amount(question, general, regularizer)))


def _amount(question: Floats, general: Floats, regularizer: Regularizer) -> NDArray[np.float32]:
    """Return lambda, to be added to (..., layers, tokens)."""
    if regularizer == "auto":
        return automatic_regularizer(question, general)
    if regularizer == "per token":
        variance, mean = (f(general, axis=-2, keepdims=True) for f in (np.var, np.mean))
        return np.asarray(variance / mean)
    return np.asarray(regularizer, np.float32)


def with_sum(maps: Floats) -> Floats:
    """Append the sum over layers to (n, layers, tokens): one more row, "all layers"."""
    return np.concatenate([maps, maps.sum(axis=1, keepdims=True)], axis=1)
