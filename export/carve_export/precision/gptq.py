"""Round a weight so that the results of its product change least (GPTQ, arXiv:2210.17323).

Rows are rounded one after the other, those with the largest inputs first, and the remaining rows
make up for the error of each. Scales and zero points come from the weight before rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

#: Added to the diagonal of the inputs' products, as a share of its mean; the paper's.
_DAMPING = 0.01
#: Rows whose errors are passed on to the rest of the weight together; the paper's.
_BATCH = 128


@dataclass(frozen=True)
class Rounded:
    """A weight (K, N) in blocks of rows, with a scale and a zero point for each block and column.

    Attributes:
        codes: (blocks, block, N) uint8; there are more rows than K if blocks do not fit.
        scales: (blocks, N) float32.
        zeros: (blocks, N) uint8.
        rows: K.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]
    zeros: NDArray[np.uint8]
    rows: int

    def values(self) -> NDArray[np.float32]:
        """Return the (K, N) weight that the codes stand for."""
        steps = self.codes.astype(np.float32) - self.zeros[:, None]
        return (steps * self.scales[:, None]).reshape(-1, self.scales.shape[1])[: self.rows]


@dataclass(frozen=True)
class Order:
    """The order in which rows are rounded, and how the later rows make up for errors.

    Attributes:
        rows: (K,) rows, the first one first.
        passed_on: (K, K) upper triangular, in that order: a factor of the inverse of the damped
            products of inputs.
    """

    rows: NDArray[np.int64]
    passed_on: Floats


def order_rows(products: Floats) -> Order:
    """Return the order for weights that are multiplied with the same inputs.

    Args:
        products: (K, K) sum of the products of inputs with each other.
    """
    sizes = np.diag(products)
    rows = np.argsort(-sizes, kind="stable")
    damped = products[np.ix_(rows, rows)]
    damped[np.diag_indices_from(damped)] += _DAMPING * sizes.mean() or 1.0
    return Order(rows, np.linalg.cholesky(np.linalg.inv(damped)).T)


def round_weight(weight: NDArray[Any], order: Order, bits: int, block: int) -> Rounded:
    """Return a weight (K, N) in whole numbers of ``bits`` bits, in blocks of ``block`` rows."""
    count, columns = weight.shape
    largest = 2**bits - 1
    scales, zeros = _scales(weight, largest, block)
    codes = np.repeat(zeros, block, axis=0)
    remaining = weight[order.rows].astype(np.float64)
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        errors = np.empty((stop - start, columns))
        for row in range(start, stop):
            place = order.rows[row]
            scale, zero = scales[place // block], zeros[place // block]
            codes[place] = np.clip(np.rint(remaining[row] / scale) + zero, 0, largest)
            error = remaining[row] - (codes[place] - zero) * scale
            errors[row - start] = error / order.passed_on[row, row]
            spread = order.passed_on[row, row + 1 : stop]
            remaining[row + 1 : stop] -= np.outer(spread, errors[row - start])
        remaining[stop:] -= order.passed_on[start:stop, stop:].T @ errors
    return Rounded(
        codes.reshape(-1, block, columns).astype(np.uint8),
        scales.astype(np.float32),
        zeros.astype(np.uint8),
        count,
    )


def _scales(weight: NDArray[Any], largest: int, block: int) -> tuple[Floats, Floats]:
    """Return scale and zero point of each block and column: equal steps over its values and 0."""
    padding = -len(weight) % block
    blocks = np.pad(weight.astype(np.float64), ((0, padding), (0, 0)))
    blocks = blocks.reshape(-1, block, weight.shape[1])
    low, high = np.minimum(blocks.min(axis=1), 0), np.maximum(blocks.max(axis=1), 0)
    scales = np.where(high > low, (high - low) / largest, 1.0)
    # Rounded as they are stored, so that the later rows make up for this as well.
    scales = scales.astype(np.float32).astype(np.float64)
    return scales, np.rint(-low / scales)
