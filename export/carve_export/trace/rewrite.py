"""Rules that a trace for ONNX Runtime is rewritten by, so that fewer of its nodes launch work.

They change how often results are rounded, not what is computed.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass
from onnxscript.rewriter import MatchResult, RewritePass, RewriteRuleClassBase, RewriteRuleSet
from onnxscript.rewriter.rules.common import transpose_transpose_rule

_DOMAIN = "com.microsoft"
#: (B, heads, S, D) to (B, S, heads, D) and back.
_EXCHANGED = [0, 2, 1, 3]
#: Which input of attention the values are, and a shape that leaves (B, S, width) as it is.
_VALUES, _SAME_SHAPE = 2, [0, 0, -1]
#: Dimensions that ``SkipSimplifiedLayerNormalization`` takes.
_RANKS = 2, 3
#: More than any chain of rules needs.
_ROUNDS = 8


class ResidualNorm(RewriteRuleClassBase):
    """A sum and the norm of it, ``SkipSimplifiedLayerNormalization``, which returns both."""

    def pattern(self, op: Any, states: Any, update: Any, weight: Any) -> Any:
        """Match the norm of a sum; the sum is used elsewhere too."""
        total = op.Add(states, update, _outputs=["total"])
        norm = op.SimplifiedLayerNormalization(
            total, weight, axis=-1, stash_type=1, _allow_other_attributes=True, _outputs=["norm"]
        )
        return norm, total

    def check(
        self, context: Any, states: ir.Value, update: ir.Value, total: ir.Value, **_: Any
    ) -> MatchResult:
        """Refuse sums where the decoder is cut: each half needs its own part of the two."""
        result = MatchResult()
        if total.is_graph_output():
            return result.fail("the sum is a result of the graph")
        if states.shape is None or states.shape != update.shape:
            return result.fail("the two shapes are not known to be equal")
        if states.shape.rank() not in _RANKS:
            return result.fail("the operator takes rows of states, of one prompt or of several")
        return result

    def rewrite(
        self, op: Any, states: Any, update: Any, weight: Any, norm: ir.Value, **_: Any
    ) -> Any:
        """Return the norm and the sum, of one operator."""
        node = norm.producer()
        assert node is not None
        result, _, _, total = op.SkipSimplifiedLayerNormalization(
            states,
            update,
            weight,
            epsilon=node.attributes["epsilon"].as_float(),
            _domain=_DOMAIN,
            _outputs=4,
        )
        return result, total


class Silu(RewriteRuleClassBase):
    """``x * sigmoid(x)``, which is ``QuickGelu`` with a factor of 1."""

    def pattern(self, op: Any, x: Any) -> Any:
        """Match the product."""
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op: Any, x: Any) -> Any:
        """Return the one operator."""
        return op.QuickGelu(x, alpha=1.0, _domain=_DOMAIN)


class ReshapedTwice(RewriteRuleClassBase):
    """Two reshapes in a row, of which the second gives the shape."""

    def pattern(self, op: Any, x: Any, first: Any, second: Any) -> Any:
        """Match both."""
        inner = op.Reshape(x, first, _allow_other_attributes=True)
        return op.Reshape(inner, second, allowzero=1)

    def rewrite(self, op: Any, x: Any, second: Any, **_: Any) -> Any:
        """Return the second."""
        return op.Reshape(x, second, allowzero=1)


class ReshapedToItself(RewriteRuleClassBase):
    """A reshape that leaves the shape as it is."""

    def pattern(self, op: Any, x: Any, shape: Any) -> Any:
        """Match any reshape."""
        return op.Reshape(x, shape, _allow_other_attributes=True, _outputs=["same"])

    def check(self, context: Any, x: ir.Value, same: ir.Value, **_: Any) -> MatchResult:
        """Require shapes that are equal, each size a number or a known symbol."""
        result = MatchResult()
        if x.shape is None or x.shape != same.shape or x.shape.has_unknown_dim():
            return result.fail("the two shapes are not known to be equal")
        return result

    def rewrite(self, op: Any, x: Any, **_: Any) -> Any:
        """Return what was reshaped."""
        return op.Identity(x)


class PositionOfHeads(RewriteRuleClassBase):
    """One position of states that were transposed to (B, heads, S, D)."""

    def pattern(self, op: Any, states: Any, index: Any) -> Any:
        """Match the choice behind the transposition."""
        return op.Gather(op.Transpose(states, perm=_EXCHANGED), index, axis=2)

    def check(self, context: Any, index: ir.Value, **_: Any) -> MatchResult:
        """Require one index: several would leave a dimension, in another place."""
        result = MatchResult()
        if index.shape is None or index.shape.rank() != 0:
            return result.fail("more than one position may be chosen")
        return result

    def rewrite(self, op: Any, states: Any, index: Any) -> Any:
        """Return the choice before it."""
        return op.Gather(states, index, axis=1)


def _rules() -> RewriteRuleSet:
    fusing: list[type[RewriteRuleClassBase]] = [ResidualNorm, Silu]
    # What lies between may have another use: the tap reads one position of the queries.
    shortening: list[type[RewriteRuleClassBase]] = [
        PositionOfHeads,
        ReshapedTwice,
        ReshapedToItself,
    ]
    rules = [rule.rule() for rule in fusing]
    rules += [rule.rule(remove_nodes=False) for rule in shortening]
    return RewriteRuleSet([*rules, transpose_transpose_rule], commute=True)


class ValuesApart(ir.passes.InPlacePass):
    """A reshape, which launches nothing, between attention and the product that makes its values.

    On a GPU, ONNX Runtime would merge the products and the rotary embeddings into the attention
    (``GroupQueryAttentionFusion``), and remove the rotated queries that the tap reads too: such a
    graph does not load.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Insert one in front of each ``GroupQueryAttention``, unless it is there."""
        graph, changed = model.graph, False
        for node in list(graph):
            if node.op_type != "GroupQueryAttention":
                continue
            values = node.inputs[_VALUES]
            if values is None:  # packed into the queries
                continue
            producer = values.producer()
            if producer is not None and producer.op_type == "Reshape":
                continue
            shape = ir.node("Constant", [], attributes={"value_ints": _SAME_SHAPE})
            apart = ir.node("Reshape", [values, shape.outputs[0]])
            apart.outputs[0].name = f"{values.name}.apart"
            apart.outputs[0].dtype, apart.outputs[0].shape = values.dtype, values.shape
            graph.insert_before(node, [shape, apart])
            node.replace_input_with(_VALUES, apart.outputs[0])
            changed = True
        return ir.passes.PassResult(model, changed)


#: For graphs that ONNX Runtime runs on a GPU. A rule may apply where another has.
FEWER_LAUNCHES = ir.passes.Sequential(
    ir.passes.PassManager(
        [RewritePass(_rules()), IdentityEliminationPass(), RemoveUnusedNodesPass()],
        steps=_ROUNDS,
        early_stop=True,
    ),
    ValuesApart(),
)
