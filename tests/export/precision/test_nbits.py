"""The form of a graph with weights in blocks: in half precision too, and without its values."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carve_export.precision.gptq import Rounded, round_weight
from carve_export.precision.nbits import matrix_products, pack, to_nbits, unpack
from tests.comparing import assert_close

#: None is a number of whole blocks, nor even.
ROWS, WIDTH, COLUMNS, BLOCK = 40, 37, 5, 16
RNG = np.random.default_rng(0)
AS_MULTIPLIED = RNG.normal(size=(ROWS, WIDTH)).astype(np.float16)
TRANSPOSED = RNG.normal(size=(COLUMNS, WIDTH)).astype(np.float16)


def elsewhere(array: NDArray[np.float16], name: str) -> TensorProto:
    """Return a weight whose values lie in a file that is not there."""
    tensor = numpy_helper.from_array(array, name)
    onnx.external_data_helper.set_external_data(tensor, "nowhere", 0, array.nbytes)
    tensor.ClearField("raw_data")
    return tensor


@pytest.fixture
def model() -> onnx.ModelProto:
    """Return two products in half precision, of a matrix as it is and of a transposed one."""
    nodes = [
        helper.make_node("Transpose", ["transposed"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "straight"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "turned"], ["y"], "second"),
    ]
    half = TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "structure",
        [helper.make_tensor_value_info("x", half, ["length", ROWS])],
        [helper.make_tensor_value_info("y", half, ["length", COLUMNS])],
        [elsewhere(AS_MULTIPLIED, "straight"), elsewhere(TRANSPOSED, "transposed")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_products_are_found_without_their_values(model: onnx.ModelProto) -> None:
    first, second = matrix_products(model)
    assert (first.result, first.input, first.weight, first.transposed) == (
        *("a", "x", "straight"),
        False,
    )
    assert (second.result, second.input, second.weight, second.transposed) == (
        *("y", "b", "transposed"),
        True,
    )
    assert (first.rows, first.columns, first.dtype) == (ROWS, WIDTH, TensorProto.FLOAT16)
    assert (second.rows, second.columns, second.dtype) == (WIDTH, COLUMNS, TensorProto.FLOAT16)
    assert matrix_products(model, {"y"}) == [second]


@pytest.mark.parametrize(("bits", "largest"), [(4, 0.2), (8, 0.01)])
def test_filled_in_values_give_the_product(
    model: onnx.ModelProto, bits: int, largest: float
) -> None:
    """Half precision goes in and comes out; the scales have it too."""
    chosen = matrix_products(model)
    to_nbits(model, dict.fromkeys(chosen, bits), BLOCK)
    assert [node.op_type for node in model.graph.node] == ["MatMulNBits", "Relu", "MatMulNBits"]
    empty = {tensor.name: tensor for tensor in model.graph.initializer}
    assert not {"straight", "transposed"} & set(empty)
    for product, weight in zip(chosen, (AS_MULTIPLIED, TRANSPOSED.T), strict=True):
        arrays = round_weight(weight, None, bits, BLOCK).packed(bits)
        for part, tensor in product.packed(bits, BLOCK).items():
            assert empty[tensor.name] == tensor
            filled = numpy_helper.from_array(arrays[part], tensor.name)
            assert (filled.data_type, filled.dims) == (tensor.data_type, tensor.dims)
            empty[tensor.name].CopyFrom(filled)
    session = ort.InferenceSession(model.SerializeToString())
    x = RNG.normal(size=(9, ROWS)).astype(np.float16)
    (actual,) = session.run(None, {"x": x})
    assert actual.dtype == np.float16
    expected = np.maximum(x.astype(np.float32) @ AS_MULTIPLIED, 0) @ TRANSPOSED.T
    assert 0 < np.linalg.norm(actual - expected) / np.linalg.norm(expected) < largest


@pytest.mark.parametrize("bits", [4, 8])
def test_what_is_packed_can_be_read(bits: int) -> None:
    rounded = round_weight(AS_MULTIPLIED, None, bits, BLOCK)
    again = Rounded.from_packed(rounded.packed(bits), bits, BLOCK, ROWS)
    assert_close(again.values(), rounded.values(), rtol=0, atol=0)
    codes = RNG.integers(0, 2**bits, (3, 7)).astype(np.uint8)
    assert (unpack(pack(codes, bits), bits)[:, :7] == codes).all()


def test_numbers_too_small_for_half_precision_become_nothing() -> None:
    """Steps between them cannot be written in half precision."""
    tiny = np.full((BLOCK, 2), 6e-8, np.float16)
    values = round_weight(tiny, None, 4, BLOCK).values()
    assert np.isfinite(values).all()
    assert_close(values, np.zeros_like(values), rtol=0, atol=1e-7)
