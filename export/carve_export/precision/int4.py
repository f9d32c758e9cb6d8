"""Weights of 4 or 8 bits in blocks with a scale and a zero point each.

:mod:`carve_export.precision.nbits` gives the graph its form, this module the numbers. They are
computed one matrix at a time and written to a file at once, so that a model need not fit into
memory. ``int4`` and ``int4-only`` round by GPTQ (:mod:`carve_export.precision.gptq`),
``int4-nearest`` and ``int8-nearest`` to the nearest number.

In ``int4``, weights whose rounding changes the graph's results most, for their size, get 8 bits,
until the others together change no result by more than a tolerance: the squares of small errors of
many products add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from carve_export.onnx_files import read_weight, write_weight
from carve_export.precision.calibration import Feeds, FeedSource
from carve_export.precision.gptq import Rounded, order_rows, round_weight
from carve_export.precision.nbits import BLOCK, MatrixProduct, matrix_products, to_nbits
from carve_export.precision.probe import squared_errors
from carve_export.precision.stepwise import tensors

#: Largest change of a graph's results, root mean square, relative;
#: ``python -m tools.research.precision.search`` shows why.
TOLERANCE = 0.01
_BITS = 4, 8
#: Products are compared on every eighth recorded run, which is enough.
_EVERY = 8
#: Tensors that hold a rounded weight, by part.
_Packed: TypeAlias = Mapping[str, TensorProto]


def to_int4(
    model: onnx.ModelProto,
    only: set[str] | None,
    feeds: FeedSource,
    folder: Path,
    *,
    block: int = BLOCK,
    tolerance: float = TOLERANCE,
) -> onnx.ModelProto:
    """Return a model in int4, see :func:`carve_export.precision.lower`.

    Args:
        model: the graph, in float32 or float16; it is changed.
        only: results of the products to change.
        feeds: returns recorded inputs of the graph.
        folder: where the graph's weights lie, and where new ones are written.
        block: rows that share a scale and a zero point.
        tolerance: by how much 4-bit weights may change the graph's results; infinite for
            ``int4-only``, all products in 4 bits.
    """
    chosen = matrix_products(model, only)
    if not chosen:
        return model
    runs = feeds()
    few, many = _BITS
    packed = dict(_by_gptq(model, chosen, runs, folder, few, block))
    bits = dict.fromkeys(chosen, few)
    if not math.isinf(tolerance):
        exact = _needing_more(model, packed, runs[::_EVERY], folder, block, tolerance)
        packed |= _by_gptq(model, exact, runs, folder, many, block)
        bits |= dict.fromkeys(exact, many)
    return _with_weights(model, packed, bits, block)


def to_nearest(
    model: onnx.ModelProto,
    only: set[str] | None,
    feeds: FeedSource,
    folder: Path,
    *,
    bits: int,
    block: int = BLOCK,
) -> onnx.ModelProto:
    """Return a model whose weights are rounded to the nearest number; see :func:`to_int4`."""
    del feeds
    chosen = matrix_products(model, only)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    packed = {}
    for product in chosen:
        rounded = round_weight(_matrix(product, weights, folder), None, bits, block)
        packed[product] = _write(product, rounded, folder, bits, block)
    return _with_weights(model, packed, dict.fromkeys(chosen, bits), block)


def needs_more(
    errors: NDArray[np.float64], sizes: NDArray[np.int64], tolerance: float
) -> NDArray[np.bool_]:
    """Return which products need more bits.

    Args:
        errors: (products, outputs) relative squared errors that each causes.
        sizes: (products,) what more bits for each would cost.
        tolerance: of the error of each output, relative.
    """
    chosen = np.zeros(len(errors), np.bool_)
    totals = np.maximum(errors.sum(axis=0), np.finfo(np.float64).tiny)
    for index in np.argsort(-(errors / totals).max(axis=1) / sizes, kind="stable"):
        if (errors[~chosen].sum(axis=0) <= tolerance**2).all():
            break
        chosen[index] = True
    return chosen


def _by_gptq(
    model: onnx.ModelProto,
    chosen: Sequence[MatrixProduct],
    runs: Feeds,
    folder: Path,
    bits: int,
    block: int,
) -> Iterator[tuple[MatrixProduct, _Packed]]:
    """Yield products with their weights, rounded by the products' results and written."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = list(dict.fromkeys(product.input for product in chosen))
    for name, arrays in tensors(model, folder, inputs, runs):
        order = order_rows(input_products(arrays))
        for product in chosen:
            if product.input == name:
                rounded = round_weight(_matrix(product, weights, folder), order, bits, block)
                yield product, _write(product, rounded, folder, bits, block)


def input_products(arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return the products of vectors' numbers with each other, (K, K), summed; each is (..., K)."""
    vectors = np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays])
    vectors = vectors.astype(np.float32)
    sums: NDArray[np.float32] = vectors.T @ vectors
    return sums


def _matrix(
    product: MatrixProduct, weights: Mapping[str, TensorProto], folder: Path
) -> NDArray[Any]:
    """Read a product's matrix, (K, N)."""
    stored = read_weight(weights[product.weight], folder)
    return stored.T if product.transposed else stored


def _write(
    product: MatrixProduct, rounded: Rounded, folder: Path, bits: int, block: int
) -> _Packed:
    """Write a rounded matrix and return the tensors that refer to it."""
    packed = product.packed(bits, block)
    for part, array in rounded.packed(bits).items():
        write_weight(packed[part], array, folder)
    return packed


def _needing_more(
    model: onnx.ModelProto,
    packed: Mapping[MatrixProduct, _Packed],
    runs: Feeds,
    folder: Path,
    block: int,
    tolerance: float,
) -> list[MatrixProduct]:
    """Return the products whose weights of few bits change the graph's results too much."""

    def change(product: MatrixProduct) -> tuple[str, NDArray[Any]]:
        parts = {part: read_weight(tensor, folder) for part, tensor in packed[product].items()}
        values = Rounded.from_packed(parts, _BITS[0], block, product.rows).values()
        values = values.astype(parts["scales"].dtype)
        return product.weight, values.T if product.transposed else values

    errors = squared_errors(
        model, folder, [product.weight for product in packed], map(change, packed), runs
    )
    sizes = np.array([product.size for product in packed])
    return list(compress(packed, needs_more(errors, sizes, tolerance)))


def _with_weights(
    model: onnx.ModelProto,
    packed: Mapping[MatrixProduct, _Packed],
    bits: Mapping[MatrixProduct, int],
    block: int,
) -> onnx.ModelProto:
    """Return the model, changed, with rounded weights in the place of exact ones."""
    to_nbits(model, bits, block)
    written = {tensor.name: tensor for parts in packed.values() for tensor in parts.values()}
    for tensor in model.graph.initializer:
        if tensor.name in written:
            tensor.CopyFrom(written[tensor.name])
    return model
