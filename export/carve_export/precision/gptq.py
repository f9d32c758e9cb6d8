"""Round a weight so that the results of its product change least (GPTQ, arXiv:2210.17323).

Rows are rounded one after the other, those with the largest inputs first, and each makes up for the
errors of the rows before it. Scales and zero points come from the weight before rounding.

The paper passes errors on with a factor of the inverse of the inputs' products. A factor of the
products themselves leads to the same numbers, without an inverse (QuIP, arXiv:2307.13304).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from carve_export.precision.nbits import pack, unpack

Floats: TypeAlias = NDArray[np.float32]

#: Added to the diagonal of the inputs' products, as a share of its mean; the paper's.
_DAMPING = 0.01
#: Rows that look back at all earlier ones together; the paper's.
_BATCH = 128
#: Columns that are rounded together. They do not depend on each other: this only bounds memory.
_COLUMNS = 4096


@dataclass(frozen=True)
class Rounded:
    """A weight (K, N) in blocks of rows, with a scale and a zero point for each block and column.

    Attributes:
        codes: (blocks, block, N) uint8; there are more rows than K if blocks do not fit.
        scales: (blocks, N) of the type that they are stored in.
        zeros: (blocks, N) uint8.
        rows: K.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.floating[Any]]
    zeros: NDArray[np.uint8]
    rows: int

    def values(self) -> Floats:
        """Return the (K, N) weight that the codes stand for."""
        steps = self.codes.astype(np.float32) - self.zeros[:, None]
        return (steps * self.scales[:, None]).reshape(-1, self.scales.shape[1])[: self.rows]

    def packed(self, bits: int) -> dict[str, NDArray[Any]]:
        """Return the parts as :meth:`carve_export.precision.nbits.MatrixProduct.packed` says."""
        return {
            "codes": pack(self.codes.transpose(2, 0, 1), bits),
            "scales": np.ascontiguousarray(self.scales.T).reshape(-1),
            "zeros": pack(self.zeros.T, bits).reshape(-1),
        }

    @classmethod
    def from_packed(
        cls, parts: dict[str, NDArray[Any]], bits: int, block: int, rows: int
    ) -> Rounded:
        """Return what :meth:`packed` made."""
        columns, blocks, _ = parts["codes"].shape
        codes = unpack(parts["codes"], bits)[..., :block].transpose(1, 2, 0)
        zeros = unpack(parts["zeros"].reshape(columns, -1), bits)[:, :blocks].T
        return cls(codes, parts["scales"].reshape(columns, blocks).T, zeros, rows)


@dataclass(frozen=True)
class Order:
    """The order in which rows are rounded, and how they make up for the errors of earlier ones.

    Attributes:
        rows: (K,) rows, the first one first.
        shares: (K, K) upper triangular, in that order: in column ``k`` how much of each earlier
            row's error row ``k`` makes up for; 1 on the diagonal.
    """

    rows: NDArray[np.int64]
    shares: Floats


def order_rows(products: Floats) -> Order:
    """Return the order for weights that are multiplied with the same inputs.

    Args:
        products: (K, K) sum of the products of inputs with each other.
    """
    sizes = np.diag(products)
    rows = np.argsort(-sizes, kind="stable")
    # Both axes backwards, so that the lower factor of the library is the upper one that we want.
    damped = products[np.ix_(rows[::-1], rows[::-1])]
    damped[np.diag_indices_from(damped)] += _DAMPING * sizes.mean() or 1.0
    factor = torch.linalg.cholesky(torch.from_numpy(damped)).numpy()[::-1, ::-1]
    return Order(rows, np.ascontiguousarray(factor / np.diag(factor)))


def round_weight(weight: NDArray[Any], order: Order | None, bits: int, block: int) -> Rounded:
    """Return a weight (K, N) in whole numbers of ``bits`` bits, in blocks of ``block`` rows.

    Args:
        weight: in any precision; scales have the same.
        order: of its rows; ``None`` rounds every number to the nearest.
        bits: of each number.
        block: rows that share a scale and a zero point.
    """
    rows, columns = weight.shape
    blocks, largest = -(-rows // block), 2**bits - 1
    codes = np.empty((blocks, block, columns), np.uint8)
    scales = np.empty((blocks, columns), weight.dtype)
    zeros = np.empty((blocks, columns), np.uint8)
    for start in range(0, columns, _COLUMNS):
        some = np.s_[..., start : start + _COLUMNS]
        part = weight[some].astype(np.float32)
        scales[some], zeros[some] = _scales(part, largest, block, weight.dtype)
        steps = np.repeat(scales[some].astype(np.float32), block, axis=0)[:rows]
        shifts = np.repeat(zeros[some].astype(np.float32), block, axis=0)
        if order is None:
            numbers = np.clip(np.rint(part / steps) + shifts[:rows], 0, largest)
        else:
            numbers = _made_up(part, order, steps, shifts, largest)
        shifts[:rows] = numbers
        codes[some] = shifts.reshape(blocks, block, -1)
    return Rounded(codes, scales, zeros, rows)


def _made_up(weight: Floats, order: Order, steps: Floats, shifts: Floats, largest: int) -> Floats:
    """Return codes (K, N), each row making up for the errors of the rows before it.

    Args:
        weight: (K, N).
        order: of the rows.
        steps: (K, N), scales.
        shifts: (K, N) or longer, zero points.
        largest: code.
    """
    codes, errors = np.empty_like(weight), np.empty_like(weight)  # errors are in rounding order
    for start in range(0, len(weight), _BATCH):
        batch = order.rows[start : start + _BATCH]
        stop = start + len(batch)
        aims = weight[batch] + order.shares[:start, start:stop].T @ errors[:start]
        for row, place in enumerate(batch, start):
            aim = aims[row - start] + order.shares[start:row, row] @ errors[start:row]
            numbers = np.clip(np.rint(aim / steps[place]) + shifts[place], 0, largest)
            errors[row] = weight[place] - (numbers - shifts[place]) * steps[place]
            codes[place] = numbers
    return codes


def _scales(
    weight: Floats, largest: int, block: int, stored: np.dtype[Any]
) -> tuple[Floats, Floats]:
    """Return scale and zero point of each block and column: equal steps over its values and 0."""
    padding = -len(weight) % block
    blocks = np.pad(weight, ((0, padding), (0, 0))).reshape(-1, block, weight.shape[1])
    low, high = np.minimum(blocks.min(axis=1), 0), np.maximum(blocks.max(axis=1), 0)
    # Rounded as they are stored, so that later rows make up for this as well. A block of zeros, or
    # of numbers that are nothing in this type, has any scale.
    scales = ((high - low) / np.float32(largest)).astype(stored).astype(np.float32)
    scales = np.where(scales > 0, scales, np.float32(1))
    return scales, np.clip(np.rint(-low / scales), 0, largest)
