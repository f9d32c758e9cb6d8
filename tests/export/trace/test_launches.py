"""On a GPU it is launches that cost: a layer of a decoder in half precision has few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import onnx
import pytest

from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_export.trace.decoder import traceable_decoder
from carve_export.trace.graph import trace_graph
from carve_models.graph_spec import Dtype
from carve_models.manifest import OPSETS
from tests.conftest import CheckpointOf
from tests.export.cuda import launching, without_kernel

#: Most launches of a layer, the tap apart.
MOST = 25
LAYER = {
    "MatMul": 7,
    "SkipSimplifiedLayerNormalization": 2,
    "RotaryEmbedding": 2,
    "GroupQueryAttention": 1,
    "QuickGelu": 1,
    "Mul": 1,
}
#: What the layers of a family have beside that.
MORE: dict[str, dict[str, int]] = {
    "llava-clip-gqa": {},
    "smolvlm": {},
    "internvl": {"Add": 3},  # biases of queries, keys and values
    "qwen2_5_vl": {"Add": 3},
    "qwen3_vl": {"SimplifiedLayerNormalization": 2},  # of queries and keys
}
TAPPED = (0,)
DEPTH = 3

DecoderOf = Callable[[str, int, Dtype], onnx.GraphProto]


@pytest.fixture(scope="module")
def decoder_of(checkpoint_of: CheckpointOf, tmp_path_factory: pytest.TempPathFactory) -> DecoderOf:
    """Trace a case's decoder with its first layers alone."""
    traced: dict[tuple[str, int, Dtype], onnx.GraphProto] = {}

    def trace(name: str, layers: int, dtype: Dtype) -> onnx.GraphProto:
        if (name, layers, dtype) not in traced:
            checkpoint = load_checkpoint(str(checkpoint_of(name)), dtype=dtype)
            text_model = checkpoint.module(checkpoint.family.modules.text_model)
            text_model.layers = text_model.layers[:layers]
            checkpoint.config.text_config.num_hidden_layers = layers
            spec = decoder_spec(checkpoint, TAPPED)
            folder = tmp_path_factory.mktemp(name)
            decoder = traceable_decoder(checkpoint, spec, "ort", [spec.whole])
            file = trace_graph(decoder, folder, opset=OPSETS[0]).file
            traced[name, layers, dtype] = onnx.load(folder / file).graph
        return traced[name, layers, dtype]

    return trace


def counted(graph: onnx.GraphProto) -> Counter[str]:
    return Counter(node.op_type for node in launching(graph))


@pytest.mark.parametrize("name", MORE)
def test_a_layer_launches_little(name: str, decoder_of: DecoderOf) -> None:
    deep, shallow = (counted(decoder_of(name, depth, "float16")) for depth in (DEPTH, DEPTH - 1))
    layer = deep - shallow
    assert layer == Counter(LAYER) + Counter(MORE[name])
    assert layer.total() <= MOST
    assert not shallow - deep


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", MORE)
def test_every_node_has_a_kernel(name: str, dtype: Dtype, decoder_of: DecoderOf) -> None:
    """Both types give the same graph, which :func:`test_both_types_give_one_graph` holds."""
    assert without_kernel(decoder_of(name, DEPTH, "float16"), dtype) == []


def test_both_types_give_one_graph(decoder_of: DecoderOf) -> None:
    name = next(iter(MORE))
    assert counted(decoder_of(name, DEPTH, "bfloat16")) == counted(
        decoder_of(name, DEPTH, "float16")
    )


def test_a_node_without_a_kernel_is_found(decoder_of: DecoderOf) -> None:
    """GroupQueryAttention has none for float32; nor has an operator that no table names."""
    graph = decoder_of(next(iter(MORE)), DEPTH, "float16")
    found = {line.split()[0] for line in without_kernel(graph, "float32")}
    assert found == {"GroupQueryAttention"}
    other = onnx.GraphProto()
    other.CopyFrom(graph)
    for node in other.node:
        node.op_type = "Swish" if node.op_type == "QuickGelu" else node.op_type
    assert {line.split()[0] for line in without_kernel(other, "float16")} == {"Swish"}
