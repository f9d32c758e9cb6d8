"""Matrices are stored as they are multiplied, whatever their size, and none is held twice."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import numpy_helper
from onnx_ir.tensor_adapters import TorchTensor
from torch import Tensor, nn

from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_export.checkpoint.weights import compute_in_float32
from carve_export.trace.decoder import traceable_decoder
from carve_export.trace.graph import trace_graph
from carve_export.trace.storage import SUFFIX, store_as_multiplied
from carve_export.trace.traceable import BATCH, EXAMPLE_BATCH, Traceable
from carve_models.manifest import OPSETS
from tests.conftest import CheckpointOf
from tests.support import CASES

#: PyTorch's exporter folds transpositions whose result has at most 512 * 512 numbers.
WIDTHS = (16, 530, 520)
CASE = "llava-clip-gqa"


class Products(nn.Module):
    """A small product and a large one."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = (nn.Linear(*pair, bias=False) for pair in pairwise(WIDTHS))

    def forward(self, states: Tensor) -> Tensor:
        result: Tensor = self.large(self.small(states))
        return result


def traced(module: nn.Module, folder: Path) -> onnx.ModelProto:
    example = (torch.randn(EXAMPLE_BATCH, 3, WIDTHS[0]),)
    shapes = ({0: BATCH},)
    traceable = Traceable("products", module, example, shapes, ["states"], ["result"])
    return onnx.load(folder / trace_graph(traceable, folder, opset=OPSETS[0]).file)


def test_no_matrix_is_transposed_by_the_graph(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Products()
    model = traced(module, tmp_path)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "MatMul"]
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert stored.keys() == {f"{name}.weight{SUFFIX}" for name in ("small", "large")}
    for name, array in stored.items():
        parameter = module.get_parameter(name.removesuffix(SUFFIX))
        np.testing.assert_array_equal(array, parameter.detach().numpy().T)


def test_a_matrix_in_fewer_bits_is_widened_as_it_is_multiplied(tmp_path: Path) -> None:
    module = Products().half()
    compute_in_float32(module, nn.Embedding(1, 1))
    model = traced(module, tmp_path)
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators == {"Cast": 2, "MatMul": 2}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert sorted(shapes.values()) == sorted(pairwise(WIDTHS))


def test_a_stored_matrix_is_a_view_of_the_parameter() -> None:
    """A parameter that two nodes transpose is stored once; one with another use stays as it is."""
    parameter = torch.arange(6.0).reshape(2, 3)
    weight = ir.Value(
        name="weight",
        shape=ir.Shape((2, 3)),
        type=ir.TensorType(ir.DataType.FLOAT),
        const_value=TorchTensor(parameter, "weight"),
    )
    nodes = [ir.node("Transpose", [weight], {"perm": [1, 0]}) for _ in range(2)]
    nodes.append(ir.node("Transpose", [weight], {"perm": [0, 1]}))
    sums = ir.node("Sum", [node.outputs[0] for node in nodes[:2]])
    outputs = [*sums.outputs, *nodes[2].outputs]
    graph = ir.Graph([], outputs, nodes=[*nodes, sums], initializers=[weight])
    store_as_multiplied(ir.Model(graph, ir_version=10))
    assert [node.op_type for node in graph] == ["Transpose", "Sum"]
    stored = graph.initializers[f"weight{SUFFIX}"]
    assert list(sums.inputs) == [stored, stored]
    assert stored.const_value is not None
    view = stored.const_value.raw
    assert view.data_ptr() == parameter.data_ptr()
    np.testing.assert_array_equal(stored.const_value.numpy(), parameter.numpy().T)
    assert nodes[2].inputs == (weight,)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_parameters_need_no_memory(dtype: str, checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    """A model's graphs can be traced without its weights: each parameter is one number."""
    checkpoint = load_checkpoint(str(checkpoint_of(CASE)), dtype=dtype)  # type: ignore[arg-type]
    for parameter in checkpoint.model.parameters():
        parameter.data = torch.zeros(1, dtype=parameter.dtype).expand(parameter.shape)
    spec = decoder_spec(checkpoint, CASES[CASE].layers)
    traceable = traceable_decoder(checkpoint, spec, "ort", spec.parts)
    path = tmp_path / trace_graph(traceable, tmp_path, opset=OPSETS[0]).file
    shapes = {tensor.name: tuple(tensor.dims) for tensor in onnx.load(path).graph.initializer}
    assert shapes[f"lm_head.weight{SUFFIX}"] == (spec.hidden_size, spec.vocab_size)
