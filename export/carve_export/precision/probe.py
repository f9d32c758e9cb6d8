"""Run a float32 graph on recorded inputs: what its products see, and what they matter."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from carve_export.onnx_files import save_model
from carve_export.precision.calibration import Feeds

_ERRORS_ONLY = 3
#: Of those that a build may have, the one that computes in float32 alike on every machine.
_PROVIDER = "CPUExecutionProvider"
_CACHE = "present."
#: Bytes of the products of inputs that are summed in one go through the recorded runs.
_ROOM = 2 << 30


def input_products(
    model: onnx.ModelProto, sizes: dict[str, int], feeds: Feeds
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield tensors by name with their vectors' products with each other, (K, K), summed.

    Args:
        model: the graph.
        sizes: K, the last dimension, of each tensor of the graph.
        feeds: recorded inputs of the graph.
    """
    session = probing_session(model, outputs=list(sizes))
    for names in _batches(sizes):
        sums = {name: np.zeros((sizes[name],) * 2) for name in names}
        for run in feeds:
            for name, array in fetch(session, names, run).items():
                vectors = array.reshape(-1, sizes[name])
                sums[name] += vectors.T @ vectors.astype(np.float64)
        yield from sums.items()


def fetch(
    session: onnxruntime.InferenceSession, names: Collection[str], run: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return tensors of one run by name, inputs too; all are known to the session."""
    inside = [name for name in names if name not in run]
    # Asked for nothing, a session returns all that it has.
    arrays = session.run(inside, dict(run)) if inside else []
    seen = {**run, **dict(zip(inside, arrays, strict=True))}
    return {name: seen[name] for name in names}


def squared_errors(
    model: onnx.ModelProto, changes: Iterable[tuple[str, NDArray[Any]]], feeds: Feeds
) -> NDArray[np.float64]:
    """Return how far each change of one weight alone moves the graph's results.

    Args:
        model: the graph.
        changes: names of weights with other values.
        feeds: recorded inputs of the graph.

    Returns:
        (changes, outputs) sums of squared differences, relative to the output's own sum of squares;
        caches do not count.
    """
    changes = list(changes)
    session = probing_session(model, inputs=[name for name, _ in changes])
    outputs = [one.name for one in session.get_outputs() if not one.name.startswith(_CACHE)]
    usual = [session.run(outputs, dict(run)) for run in feeds]
    scale = sum(np.array([_square(array) for array in arrays]) for arrays in usual)
    rows = []
    for name, values in changes:
        row = np.zeros(len(outputs))
        for run, wanted in zip(feeds, usual, strict=True):
            found = session.run(outputs, {**run, name: values})
            row += [_square(one - other) for one, other in zip(found, wanted, strict=True)]
        rows.append(row / scale)
    return np.array(rows)


def _square(array: NDArray[Any]) -> float:
    return float(np.square(array, dtype=np.float64).sum())


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    names: list[str] = []
    room = _ROOM
    for name, size in sizes.items():
        needed = size * size * np.dtype(np.float64).itemsize
        if names and needed > room:
            yield names
            names, room = [], _ROOM
        names.append(name)
        room -= needed
    yield names


def probing_session(
    model: onnx.ModelProto, outputs: Sequence[str] = (), inputs: Sequence[str] = ()
) -> onnxruntime.InferenceSession:
    """Load a copy of a graph that returns more tensors, and takes some weights as inputs too.

    Args:
        model: the graph.
        outputs: tensors of it; its inputs are passed over.
        inputs: weights; given again and again.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    given = {value.name for value in model.graph.input}
    inside = [name for name in outputs if name not in given]
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside)
    probed.graph.input.extend(
        helper.make_tensor_value_info(name, weights[name].data_type, weights[name].dims)
        for name in dict.fromkeys(inputs)
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "probe.onnx"
        save_model(probed, path)
        return onnxruntime.InferenceSession(path, options, providers=[_PROVIDER])
