"""Matrices in blocks of 4- or 8-bit numbers: a graph's form with ONNX Runtime's ``MatMulNBits``.

This module changes the structure alone: the values of the graph's matrices are neither read nor
needed, and those of the new tensors are filled in by others. Activations keep their type, float32
or half precision; scales have it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from carve_export.precision.half import drop_unused
from carve_export.precision.products import products

#: Rows that share a scale and a zero point.
BLOCK = 32
_DOMAIN = "com.microsoft"
_BITS_OF_A_BYTE = 8


@dataclass(frozen=True)
class MatrixProduct:
    """A product of activations with a constant matrix (K, N).

    Attributes:
        result: name of the product's result.
        input: name of the activations, (..., K).
        weight: name of the matrix.
        transposed: whether the matrix is stored as (N, K).
        rows: K.
        columns: N.
        dtype: of all three, a number of ``onnx.TensorProto``.
    """

    result: str
    input: str
    weight: str
    transposed: bool
    rows: int
    columns: int
    dtype: int

    @property
    def size(self) -> int:
        """Numbers in the matrix."""
        return self.rows * self.columns

    def packed(self, bits: int, block: int = BLOCK) -> dict[str, TensorProto]:
        """Return what the matrix becomes, by part: tensors with a name and a shape, no values.

        ``codes`` are (N, blocks, bytes of a block) uint8, ``scales`` (N * blocks,) of the product's
        type, ``zeros`` (N * bytes of a column's zero points,) uint8.

        Args:
            bits: of each number.
            block: rows that share a scale and a zero point.
        """
        blocks = -(-self.rows // block)
        shapes = {
            "codes": (TensorProto.UINT8, (self.columns, blocks, _bytes(block, bits))),
            "scales": (self.dtype, (self.columns * blocks,)),
            "zeros": (TensorProto.UINT8, (self.columns * _bytes(blocks, bits),)),
        }
        return {
            part: TensorProto(name=f"{self.result}.{part}", data_type=dtype, dims=dims)
            for part, (dtype, dims) in shapes.items()
        }


def matrix_products(model: onnx.ModelProto, only: set[str] | None = None) -> list[MatrixProduct]:
    """Return the products with a constant matrix, in the graph's order.

    A matrix may be stored as it is multiplied, or transposed in front of a ``Transpose``.

    Args:
        model: the graph, its weights not loaded necessarily.
        only: results of the products to choose from; all if ``None``.
    """
    graph = model.graph
    matrices = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    turned = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] in matrices
    }
    found = []
    for node in products(model, only, also=turned):
        if node.op_type != "MatMul":
            continue
        weight = turned.get(node.input[1], node.input[1])
        if weight not in matrices:
            continue
        transposed = node.input[1] in turned
        stored = matrices[weight]
        rows, columns = reversed(stored.dims) if transposed else stored.dims
        product = MatrixProduct(
            node.output[0], node.input[0], weight, transposed, rows, columns, stored.data_type
        )
        found.append(product)
    return found


def to_nbits(
    model: onnx.ModelProto, chosen: Mapping[MatrixProduct, int], block: int = BLOCK
) -> None:
    """Change products to ``MatMulNBits``, in place; what nothing else reads is removed.

    The graph gets the tensors of :meth:`MatrixProduct.packed`, without values.

    Args:
        model: the graph, its weights not loaded necessarily.
        chosen: products of :func:`matrix_products`, with the bits of each matrix's numbers.
        block: rows that share a scale and a zero point.
    """
    graph = model.graph
    bits_of = {product.result: (product, bits) for product, bits in chosen.items()}
    for node in graph.node:
        if node.output[0] in bits_of:
            product, bits = bits_of[node.output[0]]
            packed = product.packed(bits, block)
            graph.initializer.extend(packed.values())
            node.CopyFrom(_in_blocks(node, product, list(packed.values()), bits, block))
    drop_unused(graph)
    if _DOMAIN not in {entry.domain for entry in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack codes into bytes along the last axis, the first code in the lowest bits."""
    each = _BITS_OF_A_BYTE // bits
    widths = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % each)]
    grouped = np.pad(codes, widths).reshape(*codes.shape[:-1], -1, each)
    shifts = np.arange(0, _BITS_OF_A_BYTE, bits, dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(grouped << shifts, axis=-1)
    return packed


def unpack(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return the codes in bytes that :func:`pack` made, those that only fill a byte too."""
    shifts = np.arange(0, _BITS_OF_A_BYTE, bits, dtype=np.uint8)
    codes = packed[..., None] >> shifts & np.uint8(2**bits - 1)
    flat: NDArray[np.uint8] = codes.reshape(*packed.shape[:-1], -1)
    return flat


def _bytes(numbers: int, bits: int) -> int:
    return -(-numbers * bits // _BITS_OF_A_BYTE)


def _in_blocks(
    node: NodeProto, product: MatrixProduct, packed: list[TensorProto], bits: int, block: int
) -> NodeProto:
    return helper.make_node(
        "MatMulNBits",
        [product.input, *(tensor.name for tensor in packed)],
        list(node.output),
        node.name,
        domain=_DOMAIN,
        K=product.rows,
        N=product.columns,
        bits=bits,
        block_size=block,
    )
