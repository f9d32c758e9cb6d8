"""What the step graphs are written with: casts, constants, vectors of scalars, and the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike

#: What adds operators to a graph, and a value in the graph.
Op: TypeAlias = Any
Value: TypeAlias = Any


def real(op: Op, value: Value) -> Value:
    """Return a value in double precision."""
    return op.Cast(value, to=ir.DataType.DOUBLE)


def whole(op: Op, value: Value) -> Value:
    """Return a value as int64, cut towards zero as ``int()`` does."""
    return op.Cast(value, to=ir.DataType.INT64)


def single(op: Op, value: Value) -> Value:
    """Return a value in single precision."""
    return op.Cast(value, to=ir.DataType.FLOAT)


def constant(op: Op, value: ArrayLike, dtype: Any) -> Value:
    """Return a constant of a numpy dtype."""
    return op.Constant(value=ir.tensor(np.asarray(value, dtype)))


def count_up(op: Op, count: Value) -> Value:
    """Return 0, 1, .. ``count - 1``, int64."""
    return op.Range(constant(op, 0, np.int64), count, constant(op, 1, np.int64))


def scalars(op: Op, vector: Value, count: int) -> list[Value]:
    """Return the elements of a vector as scalars."""
    return [op.Gather(vector, constant(op, index, np.int64), axis=0) for index in range(count)]


def vector(op: Op, *values: Value) -> Value:
    """Return a vector of scalars."""
    return op.Concat(*[op.Unsqueeze(value, [0]) for value in values], axis=0)


def loop(
    op: Op,
    trips: Value,
    body: Callable[..., list[Value]],
    state: Value,
    dtype: ir.DataType,
) -> Value:
    """Return the last state of ``body(op, trip, going, state) -> [going, state]``.

    Args:
        op: the operators.
        trips: most iterations, int64 scalar.
        body: builds one iteration.
        state: the first state.
        dtype: its dtype.
    """
    before = ir.Value(name="state", type=ir.TensorType(dtype))
    after = ir.Value(name="next_state", type=ir.TensorType(dtype))
    graph = _loop_body(op, body, [before], [after])
    return op.Loop(trips, constant(op, True, np.bool_), state, body=graph)


def collect(op: Op, trips: Value, body: Callable[..., Value], dtype: ir.DataType) -> Value:
    """Return what ``body(op, trip)`` gives in each iteration, along a new first axis.

    Args:
        op: the operators.
        trips: number of iterations, int64 scalar.
        body: builds one iteration, whose result has the same shape every time.
        dtype: of the results.
    """

    def going_on(op: Op, trip: Value, going: Value) -> list[Value]:
        return [op.Identity(going), body(op, trip)]

    piece = ir.Value(name="piece", type=ir.TensorType(dtype))
    graph = _loop_body(op, going_on, [], [piece])
    return op.Loop(trips, constant(op, True, np.bool_), body=graph)


def choose(
    op: Op,
    condition: Value,
    then: Callable[[Op], Value],
    otherwise: Callable[[Op], Value],
    dtype: ir.DataType,
) -> Value:
    """Return what one of two functions gives; only that one is computed.

    Args:
        op: the operators.
        condition: bool scalar.
        then: builds the result where it is true.
        otherwise: builds it where it is false.
        dtype: of the results.
    """
    branches = (
        _subgraph(op, name, body, [], [ir.Value(name="chosen", type=ir.TensorType(dtype))])
        for name, body in (("then", then), ("else", otherwise))
    )
    then_branch, else_branch = branches
    return op.If(condition, then_branch=then_branch, else_branch=else_branch)


def _loop_body(
    op: Op, body: Callable[..., list[Value]], before: list[ir.Value], after: list[ir.Value]
) -> ir.Graph:
    boolean = ir.TensorType(ir.DataType.BOOL)
    trip = ir.Value(name="trip", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    going = ir.Value(name="going", type=boolean, shape=ir.Shape([]))
    goes_on = ir.Value(name="goes_on", type=boolean, shape=ir.Shape([]))
    return _subgraph(op, "loop", body, [trip, going, *before], [goes_on, *after])


def _subgraph(
    op: Op,
    kind: str,
    body: Callable[..., Value | list[Value]],
    inputs: list[ir.Value],
    outputs: list[ir.Value],
) -> ir.Graph:
    builder = op.builder
    builder.push_module(f"{kind}_{builder.graph.num_nodes()}")  # names differ from those outside
    graph = builder.subgraph(body, inputs=inputs, outputs=outputs, name="body")
    builder.pop_module()
    return graph
