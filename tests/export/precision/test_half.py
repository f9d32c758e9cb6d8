"""Half precision where it is heavy, float32 where it matters, and the same answer in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from carve_export.precision.half import HalfType, emulate, to_half
from carve_export.tensorrt.softmax import unguard_softmax
from carve_models import names
from carve_models.errors import ExportError
from carve_models.manifest import read_manifest
from tests.comparing import assert_close

TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
EXACT = {"Softmax", "ReduceMean", "LayerNormalization", "Pow", "Sqrt", "Sin", "Cos", "Sigmoid"}
LENGTH = 50


@pytest.fixture(scope="module")
def decoder(pocket_portable: Path) -> onnx.ModelProto:
    return onnx.load(pocket_portable / names.graph_file(names.DECODER))


@pytest.fixture(scope="module")
def feeds(pocket_portable: Path) -> dict[str, Any]:
    spec = read_manifest(pocket_portable).decoder
    random = np.random.default_rng(0)
    past = np.empty((1, spec.key_value_heads, 0, spec.head_dim), np.float32)
    return {
        names.INPUTS_EMBEDS: random.standard_normal((1, LENGTH, spec.hidden_size), np.float32),
        names.ATTENTION_MASK: np.ones((1, LENGTH), np.int64),
        names.POSITION_IDS: np.arange(LENGTH)[None],
        **dict.fromkeys(names.past_names(range(spec.layers)), past),
    }


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, feeds), strict=True))


@pytest.mark.parametrize("precision", TYPES)
def test_every_graph_is_valid(pocket_portable: Path, precision: HalfType) -> None:
    for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER):
        model = onnx.load(pocket_portable / names.graph_file(name))
        to_half(model, precision)
        onnx.checker.check_model(model, full_check=True)
        weights = {tensor.data_type for tensor in model.graph.initializer if tensor.dims}
        assert TYPES[precision] in weights


@pytest.mark.parametrize("precision", TYPES)
def test_types(decoder: onnx.ModelProto, precision: HalfType) -> None:
    model = copy(decoder)
    to_half(model, precision)
    onnx.checker.check_model(model, full_check=True)
    assert list(model.graph.input) == list(decoder.graph.input)
    assert list(model.graph.output) == list(decoder.graph.output)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    products = [node for node in inferred.node if node.op_type == "MatMul"]
    in_float = [node for node in products if types[node.output[0]] == TensorProto.FLOAT]
    layers = sum(value.name.startswith("present.") for value in decoder.graph.output) // 2
    assert len(in_float) == layers  # the tap's, one a layer: pocket taps them all
    for node in inferred.node:
        if node.op_type in EXACT:
            assert {types[name] for name in node.input[:1]} == {TensorProto.FLOAT}
    weights = [tensor for tensor in inferred.initializer if np.prod(tensor.dims) > 1000]
    assert {tensor.data_type for tensor in weights} == {TYPES[precision]}


def test_results(decoder: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    model = copy(decoder)
    to_half(model, "fp16")
    actual, expected = run(model, feeds), run(decoder, feeds)
    scale = np.abs(expected[names.LOGITS]).max()
    assert_close(actual[names.LOGITS], expected[names.LOGITS], atol=5e-3 * scale)
    assert_close(actual[names.LAST_ROW], expected[names.LAST_ROW], atol=2e-3)


def test_quantised_products_stay() -> None:
    """A product whose operand comes out of integers reads it without a cast between."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (int8[4, 4] x, float s) => (float[4, 4] y)'
        "{ a = DequantizeLinear(x, s) b = MatMul(a, a) y = MatMul(b, b) }"
    )
    to_half(model, "fp16")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["DequantizeLinear", "MatMul", "Cast", "MatMul", "Cast"]


def rounded(array: Any) -> Any:
    return np.asarray(array, ml_dtypes.bfloat16).astype(np.float32)


def test_emulated_products() -> None:
    """A product is that of rounded operands, rounded."""
    random = np.random.default_rng(0)
    left, right = random.standard_normal((2, 16, 16), np.float32)
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[16, 16] x) => (float[16, 16] y)'
        "<float[16, 16] w> { y = MatMul(x, w) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(right, "w"))
    to_half(model, "bf16")
    emulate(model, "bf16")
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.initializer[-1].data_type == TensorProto.BFLOAT16
    actual = run(model, {"x": left})["y"]
    np.testing.assert_array_equal(actual, rounded(actual))
    assert_close(actual, rounded(left) @ rounded(right), rtol=2**-7, atol=1e-6)


def test_emulated_results(decoder: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    """Float16 runs in both ways: they differ by little, and by less than bfloat16 does."""
    expected = run(decoder, feeds)[names.LOGITS]
    scale = np.abs(expected).max()
    half, fine, coarse = copy(decoder), copy(decoder), copy(decoder)
    to_half(half, "fp16")
    to_half(fine, "fp16")
    emulate(fine, "fp16")
    to_half(coarse, "bf16")
    emulate(coarse, "bf16")
    actual = [run(model, feeds)[names.LOGITS] for model in (half, fine, coarse)]
    assert_close(actual[1], actual[0], atol=2e-3 * scale)
    error = np.abs(actual[2] - expected).max()
    assert np.abs(actual[1] - expected).max() < error < 0.05 * scale


def test_no_guard_is_needed(decoder: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    model = copy(decoder)
    unguard_softmax(model)
    assert "IsNaN" not in {node.op_type for node in model.graph.node}
    for name, expected in run(decoder, feeds).items():
        assert_close(run(model, feeds)[name], expected, atol=1e-5)
    hidden = {**feeds, names.ATTENTION_MASK: np.zeros((1, LENGTH), np.int64)}
    assert all(np.isfinite(array).all() for array in run(model, hidden).values())


def test_a_weight_beyond_float16(decoder: onnx.ModelProto) -> None:
    model = copy(decoder)
    used = {name for node in model.graph.node if node.op_type == "MatMul" for name in node.input}
    tensor = next(weight for weight in model.graph.initializer if weight.name in used)
    large = numpy_helper.to_array(tensor) + np.float32(1e5)
    tensor.CopyFrom(numpy_helper.from_array(large, tensor.name))
    with pytest.raises(ExportError, match=r"reaches 1\d+.*, beyond float16\. Choose bf16"):
        to_half(model, "fp16")
    to_half(copy(decoder), "bf16")
