"""Ridge regression in closed form, from sums: samples stream through, none is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """The map ``x @ weight + bias``.

    Attributes:
        weight: (features, targets) float64.
        bias: (targets,) float64.
    """

    weight: Floats
    bias: Floats

    def __call__(self, x: ArrayLike) -> Floats:
        """Return the map of (..., features), (..., targets) float64."""
        return np.asarray(np.asarray(x, np.float64) @ self.weight + self.bias)


class NormalEquations:
    """Sums over samples (x, y) that determine every ridge regression of y on x.

    The intercept is not penalised, so the sums are taken about the means in the end.
    """

    def __init__(self, features: int, targets: int) -> None:
        """Begin with no samples."""
        self.total = 0.0
        self._x, self._y = np.zeros(features), np.zeros(targets)
        self._xx, self._xy = np.zeros((features, features)), np.zeros((features, targets))
        self._yy = 0.0

    def add(self, x: ArrayLike, y: ArrayLike, weight: ArrayLike) -> None:
        """Add samples, (n, features) and (n, targets), with weights, (n,)."""
        x, y, weight = (np.asarray(values, np.float64) for values in (x, y, weight))
        if x.ndim != 2 or y.ndim != 2 or not len(x) == len(y) == weight.size:
            raise ValueError(f"samples have shapes {x.shape} and {y.shape}, {weight.shape}")
        weighted = x * weight[:, None]
        self.total += float(weight.sum())
        self._x += weighted.sum(axis=0)
        self._y += weight @ y
        self._xx += weighted.T @ x
        self._xy += weighted.T @ y
        self._yy += float((weight @ (y * y)).sum())

    def solve(self, strength: float) -> Affine:
        """Return the minimiser of ``mean |y - x W - b|^2 + strength * v * |W|^2``, a weighted mean.

        Args:
            strength: penalty in units of ``v``, the mean variance of a feature, so that it means
                the same whatever the features' scale.
        """
        mean_x, mean_y, xx, xy = self._centred()
        penalty = strength * np.trace(xx) / len(xx)
        weight = np.linalg.solve(xx + penalty * np.eye(len(xx)), xy)
        return Affine(weight, mean_y - mean_x @ weight)

    def explained(self, affine: Affine) -> float:
        """Return the share of the targets' variance that a map explains on these samples."""
        mean_x, mean_y, xx, xy = self._centred()
        total = self._yy / self.total - float(mean_y @ mean_y)
        weight = affine.weight
        offset = mean_y - mean_x @ weight - affine.bias
        fitted = 2 * float((weight * xy).sum()) - float((weight * (xx @ weight)).sum())
        return (fitted - float(offset @ offset)) / total

    def _centred(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return both means and both covariances."""
        if not self.total:
            raise ValueError("there are no samples")
        mean_x, mean_y = self._x / self.total, self._y / self.total
        xx = self._xx / self.total - np.outer(mean_x, mean_x)
        xy = self._xy / self.total - np.outer(mean_x, mean_y)
        return mean_x, mean_y, xx, xy
