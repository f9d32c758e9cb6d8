"""Rules for fewer launches: they change graphs that they fit, and never what a graph computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from carve_export.trace import fuse
from carve_export.trace.rewrite import FEWER_LAUNCHES
from tests.comparing import assert_close

SAME = 1e-6
HEADER = '<ir_version: 10, opset_import: ["": 23, "com.microsoft": 1]>\n'


@dataclass(frozen=True)
class Case:
    """A graph, its inputs but for integers, which are 1, and its operators after the rules."""

    text: str
    inputs: dict[str, tuple[int, ...]]
    expected: list[str]


CASES = {
    "one position": Case(
        """g (float[1,3,2,4] x, int64 i) => (float[1,2,4] y) {
            t = Transpose <perm = [0, 2, 1, 3]> (x)
            y = Gather <axis = 2> (t, i)
        }""",
        {"x": (1, 3, 2, 4), "i": ()},
        ["Gather"],
    ),
    "several positions": Case(
        """g (float[1,3,2,4] x, int64[2] i) => (float[1,2,2,4] y) {
            t = Transpose <perm = [0, 2, 1, 3]> (x)
            y = Gather <axis = 2> (t, i)
        }""",
        {"x": (1, 3, 2, 4), "i": (2,)},
        ["Transpose", "Gather"],
    ),
    "a sum and its norm": Case(
        """g (float[1,3,4] a, float[1,3,4] b, float[4] w) => (float[1,3,4] y)
            <float[1,3,4] s, float[1,3,4] n> {
            s = Add (a, b)
            n = SimplifiedLayerNormalization <axis = -1, epsilon = 0.001, stash_type = 1> (s, w)
            y = Mul (n, s)
        }""",
        {"a": (1, 3, 4), "b": (1, 3, 4), "w": (4,)},
        ["SkipSimplifiedLayerNormalization", "Mul"],
    ),
    "a sum of heads": Case(
        """g (float[1,2,3,4] a, float[1,2,3,4] b, float[4] w) => (float[1,2,3,4] y)
            <float[1,2,3,4] s, float[1,2,3,4] n> {
            s = Add (a, b)
            n = SimplifiedLayerNormalization <axis = -1, epsilon = 0.001, stash_type = 1> (s, w)
            y = Mul (n, s)
        }""",
        {"a": (1, 2, 3, 4), "b": (1, 2, 3, 4), "w": (4,)},
        ["Add", "SimplifiedLayerNormalization", "Mul"],
    ),
    "a sum that spreads": Case(
        """g (float[1,3,4] a, float[1,1,4] b, float[4] w) => (float[1,3,4] y)
            <float[1,3,4] s, float[1,3,4] n> {
            s = Add (a, b)
            n = SimplifiedLayerNormalization <axis = -1, epsilon = 0.001, stash_type = 1> (s, w)
            y = Mul (n, s)
        }""",
        {"a": (1, 3, 4), "b": (1, 1, 4), "w": (4,)},
        ["Add", "SimplifiedLayerNormalization", "Mul"],
    ),
    "a gate": Case(
        """g (float[1,3,4] x) => (float[1,3,4] y) {
            s = Sigmoid (x)
            y = Mul (s, x)
        }""",
        {"x": (1, 3, 4)},
        ["QuickGelu"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_graph_computes_stays(case: Case) -> None:
    model = onnx.parser.parse_model(HEADER + case.text)
    rewritten = ir.to_proto(FEWER_LAUNCHES(ir.from_proto(model)).model)
    assert [node.op_type for node in rewritten.graph.node] == case.expected
    rng = np.random.default_rng(0)
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    feeds = {
        name: rng.normal(size=shape).astype(np.float32)
        if types[name] == onnx.TensorProto.FLOAT
        else np.ones(shape, np.int64)
        for name, shape in case.inputs.items()
    }
    actual, expected = (run(each, feeds) for each in (rewritten, model))
    assert_close(actual, expected, rtol=SAME, atol=SAME)


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)[0]


def halves(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate as Llama does."""

    def rotate(states: Tensor) -> Tensor:
        first, second = states.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return states * cos[:, None] + turned * sin[:, None]

    return rotate(q), rotate(k)


def pairs(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate neighbours, as GPT-J does."""

    def rotate(states: Tensor) -> Tensor:
        turned = torch.stack((-states[..., 1::2], states[..., ::2]), dim=-1).flatten(-2)
        return states * cos[:, None] + turned * sin[:, None]

    return rotate(q), rotate(k)


def of_one(q: Tensor, position: int) -> Tensor:
    return q * position


@pytest.mark.parametrize(
    ("function", "expected"), [(halves, True), (pairs, False), (of_one, False)]
)
def test_only_what_rotates_halves_becomes_an_operator(
    function: Callable[..., Any], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a function says nothing of its arithmetic."""
    monkeypatch.setattr(fuse, "apply_rotary_pos_emb", function, raising=False)

    class Attention(nn.Module):
        __module__ = fuse.__name__

    with fuse.Fusion(Attention())():
        replaced = fuse.apply_rotary_pos_emb is not function  # type: ignore[attr-defined]
    assert replaced == expected
