"""Run small decoders, and make them of one operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

HEADS, KV_HEADS, WIDTH = 4, 2, 16
#: Of a head of the operator alone, of which a part may be rotated.
WIDER = 32
Arrays = dict[str, NDArray[Any]]
Shapes = dict[str, list[str | int]]


def run(path: Path, inputs: Arrays) -> Arrays:
    """Return the results of a graph, as ONNX Runtime runs it by default."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {entry.name: inputs[entry.name] for entry in session.get_inputs()}
    return dict(zip(names, session.run(None, wanted), strict=True))


def step(ids: Sequence[int], past: int, cache: Arrays | None, layers: int) -> Arrays:
    """Return the inputs of new tokens behind a cache of ``past`` positions."""
    inputs: Arrays = {
        "input_ids": np.array([ids]),
        "attention_mask": np.ones((1, past + len(ids)), np.int64),
        "position_ids": np.arange(past, past + len(ids))[None],
    }
    for layer in range(layers):
        for kind in ("key", "value"):
            empty = np.zeros((1, KV_HEADS, 0, WIDTH), np.float32)
            present = f"present.{layer}.{kind}"
            inputs[f"past_key_values.{layer}.{kind}"] = empty if cache is None else cache[present]
    return inputs


def write_group_query(path: Path, *, packed: bool = False, **attributes: Any) -> None:
    """Write a decoder of one ``GroupQueryAttention``, which returns its own attention too."""
    queries = (HEADS + 2 * KV_HEADS if packed else HEADS) * WIDER
    shapes: Shapes = {"inputs_embeds": ["B", "S", queries]}
    shapes |= {} if packed else {name: ["B", "S", KV_HEADS * WIDER] for name in ("keys", "values")}
    cache: list[str | int] = ["B", KV_HEADS, "P", WIDER]
    shapes |= {f"past_key_values.0.{kind}": cache for kind in ("key", "value")}
    tables = []
    if attributes.get("do_rotary"):
        half = attributes.pop("rotary_half", WIDER // 2)
        angles = np.linspace(0, 40, 64 * half, dtype=np.float32).reshape(64, half)
        tables = [
            onnx.numpy_helper.from_array(function(angles), name)
            for name, function in (("cos", np.cos), ("sin", np.sin))
        ]
    node = helper.make_node(
        "GroupQueryAttention",
        [
            "inputs_embeds",
            *(["", ""] if packed else ["keys", "values"]),
            "past_key_values.0.key",
            "past_key_values.0.value",
            "last",
            "total",
            *[table.name for table in tables],
        ],
        ["logits", "present.0.key", "present.0.value", "own"],
        name="layer",
        domain="com.microsoft",
        num_heads=HEADS,
        kv_num_heads=KV_HEADS,
        qk_output=2,
        **attributes,
    )
    present: list[str | int] = ["B", KV_HEADS, "T", WIDER]
    outputs: Shapes = {
        "logits": ["B", "S", HEADS * WIDER],
        "present.0.key": present,
        "present.0.value": present,
        "own": ["B", HEADS, "S", "T"],
    }
    save(path, [node], shapes, outputs, {"last": ["B"], "total": []}, tables)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Shapes,
    outputs: Shapes,
    counts: Shapes | None = None,
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 18,
) -> None:
    """Write a graph whose inputs are float32, its counts int32."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "decoder",
        [value(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        + [value(name, TensorProto.INT32, shape) for name, shape in (counts or {}).items()],
        [value(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        initializer=weights,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)
