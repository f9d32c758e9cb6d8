"""Settings that follow from the attention itself (``docs/method.md``, "Automatic settings").

They do not depend on the model: there are no constants to tune, and attention multiplied by a
number gives the same mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carve_models.errors import SettingsError


def effective_number(weights: ArrayLike) -> float:
    """Return how many equal weights would be spread as widely: ``(sum w)^2 / sum w^2``.

    Kish's effective sample size, the inverse participation ratio of physics: n for n equal
    weights, 1 for a single one. Weights that are all zero are equal.

    Args:
        weights: (n,) numbers, n at least 1, none below zero.

    Raises:
        SettingsError: no weights, or a negative one.
    """
    values = np.asarray(weights, np.float64).ravel()
    if not len(values) or values.min() < 0:
        raise SettingsError(
            "an automatic setting needs values that are not negative",
            "give the setting as a number for a map with negative values",
        )
    largest = values.max()
    if largest == 0:
        return float(len(values))
    values = values / largest  # squares neither overflow nor vanish
    return float(values.sum() ** 2 / (values**2).sum())


def shared_variance(
    question: NDArray[np.float32], general: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return how much of one map's variance the other explains, (...), 0 to 1.

    The squared correlation over the tokens; 0 where the correlation is not positive.

    Args:
        question: (..., N), attention for the question.
        general: (..., N), attention for the general instruction, of the same shape.
    """
    asked, described = (_centered(maps) for maps in (question, general))
    product = (asked * described).sum(axis=-1)
    norms = np.sqrt((asked**2).sum(axis=-1) * (described**2).sum(axis=-1))
    correlation = np.divide(product, norms, out=np.zeros_like(norms), where=norms > 0)
    return np.asarray(np.clip(correlation, 0, 1) ** 2)


def general_explains(question: NDArray[np.float32], general: NDArray[np.float32]) -> bool:
    """Return whether the general attention explains most of the question's.

    It does where :func:`shared_variance` exceeds one half in the mean over the maps.
    """
    return bool(shared_variance(question, general).mean() > 0.5)


def automatic_regularizer(
    question: NDArray[np.float32], general: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return lambda for each map, (..., 1): ``sigma^2 / mu`` (paper, proposition C.5).

    ``mu`` is the mean of the general attention over the tokens, ``sigma^2`` the part of its
    variance that it does not share with the question's attention: what both passes see is to be
    divided out, the rest is noise. Never less than the rounding of ``mu``.

    Args:
        question: (..., N), attention for the question.
        general: (..., N), attention for the general instruction, of the same shape.
    """
    maps = general.astype(np.float64)
    noise = maps.var(axis=-1) * (1 - shared_variance(question, general))
    mean = maps.mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.maximum(noise / mean, np.finfo(np.float32).eps * mean)
    return np.asarray(value[..., None], np.float32)


def automatic_share(saliency: NDArray[np.float64]) -> float:
    """Return the share of the pixels that hold the saliency, in (0, 1].

    Args:
        saliency: (n,), the pixels that the model saw.
    """
    return effective_number(saliency) / len(saliency)


def _centered(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    values = maps.astype(np.float64)
    return np.asarray(values - values.mean(axis=-1, keepdims=True))
