"""Ways to make a map of the attention (``docs/method.md``, "Other maps"): a page of code for each.

In: :class:`Rows`, the attention that was read. Out: a value for each of the image's tokens. A new
method is a module with one function, a line of :data:`METHODS`, and a value of the setting
``method``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.settings import Contrast, MapMethod, Settings
from carve_runtime.method.maps.agreement import agreement
from carve_runtime.method.maps.contrast import contrast, contrast_where_explained
from carve_runtime.method.maps.question import question_alone
from carve_runtime.method.maps.relative import relative
from carve_runtime.method.maps.rollout import rollout
from carve_runtime.method.maps.rows import AttentionMap, Fusion, Rows
from carve_runtime.method.maps.sharpest import sharpest_layer
from carve_runtime.method.maps.sinks import sink_removal


@dataclass(frozen=True)
class Method:
    """A way to make a map, and what it has to be given.

    Attributes:
        make: makes it.
        general: of which general instructions it reads the attention.
        answer: whether it reads ``Rows.answer``.
    """

    make: AttentionMap
    general: Literal["none", "own", "several"] = "own"
    answer: bool = False


#: By the value of the setting ``method``.
METHODS: dict[MapMethod, Method] = {
    "contrast": Method(contrast),
    "question": Method(question_alone, general="none"),
    "relative": Method(relative),
    "rollout": Method(rollout, general="none", answer=True),
    "sharpest_layer": Method(sharpest_layer),
    "sink_removal": Method(sink_removal),
    "agreement": Method(agreement, general="several"),
}
#: What the setting ``contrast`` makes of the method of that name.
CONTRASTS: dict[Contrast, Method] = {
    "on": METHODS["contrast"],
    "off": METHODS["question"],
    "auto": Method(contrast_where_explained),
}


def method_of(settings: Settings) -> Method:
    """Return the method that settings choose."""
    if settings.method == "contrast":
        return CONTRASTS[settings.contrast]
    return METHODS[settings.method]


def needed_general_steps(settings: Settings, question_steps: int) -> int:
    """Return how many forward steps of a general pass the fusion can use."""
    if method_of(settings).general == "none":
        return 0
    return 1 if settings.steps == "first" else question_steps


def make_map(method: Method, rows: Rows, fusion: Fusion) -> NDArray[np.float64]:
    """Return the map, (N,).

    Raises:
        SettingsError: it is not finite, or something that the method reads is missing.
    """
    values = method.make(rows, fusion)
    if not np.isfinite(values.astype(np.float32)).all():
        raise SettingsError(
            "the contrast is not finite: attention is zero, infinite or NaN",
            "give finite attention and a regularizer above zero",
        )
    return values


__all__ = [
    "CONTRASTS",
    "METHODS",
    "AttentionMap",
    "Fusion",
    "Method",
    "Rows",
    "make_map",
    "method_of",
    "needed_general_steps",
]
