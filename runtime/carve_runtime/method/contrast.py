"""The contrast of arrays that anyone may give, as a map of pixels (``docs/method.md``, 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carve_models.errors import SettingsError
from carve_models.settings import (
    MOST_PIXELS,
    Auto,
    Contrast,
    Steps,
    require_choice,
    require_or_auto,
    require_range,
    shown,
)
from carve_runtime.method.geometry import Window, real_array
from carve_runtime.method.maps import CONTRASTS, Fusion, Rows, make_map
from carve_runtime.method.placement import place


def fuse_contrast(
    question_attention: ArrayLike,
    general_attention: ArrayLike | None,
    *,
    grid: tuple[int, int],
    image_size: tuple[int, int],
    layers: Sequence[int],
    steps: Steps = "all",
    contrast: Contrast = "on",
    regularizer: float | Auto = 1e-8,
    window: Window | None = None,
) -> NDArray[np.float64]:
    """Return the saliency map ``S``.

    The contrast ``A_Q / (A_G + lambda)`` (paper, eq. 4.5 and 4.6) is summed over layers and
    weighted steps on the token grid, then resized once: the resize is linear.

    Args:
        question_attention: (T_Q, L, N), attention of the last position to the image tokens.
        general_attention: (T_G, L, N), the same for the general instruction; may be ``None``
            if ``contrast`` is "off".
        grid: (rows, columns) of image tokens, rows * columns = N.
        image_size: (W, H) in pixels.
        layers: indices into axis 1 of the attention arrays.
        steps: which forward steps are fused.
        contrast: "off" fuses the question's attention as it is; "auto" does so where the general
            attention does not explain it.
        regularizer: lambda; "auto" is, for each map of the general attention, the variance over
            the tokens that it does not share with the question's, divided by its mean.
        window: the part of the image that the grid covers, in pixels (x0, y0, x1, y1); the
            whole image if ``None``.

    Returns:
        (H, W) float64; NaN where the window does not reach.

    Raises:
        SettingsError: shapes that do not fit, a layer out of range, a value out of range.
    """
    image_size = _pair("image_size", image_size)
    if window is not None:
        window = _window(window)
    question = real_array("question_attention", question_attention, np.float32)
    layers, grid = _whole("layers", layers), _pair("grid", grid)
    require_choice("steps", steps, Steps)
    require_choice("contrast", contrast, Contrast)
    require_or_auto(require_range, "regularizer", regularizer, 0.0)
    _check("question", question, grid, layers)
    general: list[NDArray[np.float32]] = []
    if contrast != "off":
        general.append(real_array("general_attention", general_attention, np.float32))
        _check("general", general[0], grid, layers)
        _check_alike(question, general[0])
    chosen = tuple(each[:, layers] for each in (question, *general))
    rows = Rows(chosen[0], tuple(layers), chosen[1:])
    fused = make_map(CONTRASTS[contrast], rows, Fusion(steps, regularizer)).reshape(grid)
    return place(fused, image_size, window).astype(np.float64)


def _whole(name: str, values: Iterable[int]) -> list[int]:
    try:
        return [index(value) for value in values]
    except TypeError:
        raise SettingsError(
            f"{name} is {shown(values)}", "give a sequence of whole numbers"
        ) from None


def _pair(name: str, values: Iterable[int]) -> tuple[int, int]:
    numbers = _whole(name, values)
    if len(numbers) != 2 or min(numbers) < 1:
        raise SettingsError(f"{name} is {shown(values)}", "give two positive whole numbers")
    if numbers[0] * numbers[1] > MOST_PIXELS:
        raise SettingsError(
            f"{name} is {shown(values)}", f"give two numbers whose product is at most {MOST_PIXELS}"
        )
    return numbers[0], numbers[1]


def _window(values: Window) -> Window:
    edges = real_array("window", values, np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all() or (edges[2:] - edges[:2]).min() < 1:
        raise SettingsError(
            f"window is {shown(values)}",
            "give (x0, y0, x1, y1) in pixels of the image, a pixel apart at least",
        )
    x0, y0, x1, y1 = (float(edge) for edge in edges)
    return x0, y0, x1, y1


def _check(
    name: str, array: NDArray[np.float32], grid: tuple[int, int], layers: Sequence[int]
) -> None:
    rows, columns = grid
    if array.ndim != 3 or not len(array) or array.shape[2] != rows * columns:
        raise SettingsError(
            f"the {name} attention has shape {array.shape}",
            f"give (steps, layers, tokens) with {rows} x {columns} tokens",
        )
    depth = array.shape[1]
    wrong = [layer for layer in layers if not 0 <= layer < depth]
    if wrong or not layers:
        raise SettingsError(
            f"layers {shown(list(layers))} do not fit attention of {depth} layers",
            f"name layers from 0 to {depth - 1}",
        )


def _check_alike(question: NDArray[np.float32], general: NDArray[np.float32]) -> None:
    if question.shape[1] != general.shape[1]:
        raise SettingsError(
            f"the attention arrays have {question.shape[1]} and {general.shape[1]} layers",
            "give both passes the same layers",
        )
