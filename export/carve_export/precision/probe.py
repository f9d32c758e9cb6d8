"""Run a float32 graph on recorded inputs: what goes into its products, and how much they matter."""

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
#: The provider that computes in float32 alike on every machine.
_PROVIDER = "CPUExecutionProvider"
_CACHE = "present."
#: Bytes of the products of inputs that are summed in one pass over the recorded runs.
_MAX_BYTES = 2 << 30


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
    # A session that is asked for no output returns all of them.
    arrays = session.run(inside, dict(run)) if inside else []
    known = {**run, **dict(zip(inside, arrays, strict=True))}
    return {name: known[name] for name in names}


def squared_errors(
    model: onnx.ModelProto, changes: Iterable[tuple[str, NDArray[Any]]], feeds: Feeds
) -> NDArray[np.float64]:
    """Return how much each change of a single weight changes the graph's results.

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
    names = [output.name for output in session.get_outputs()]
    outputs = [name for name in names if not name.startswith(_CACHE)]
    baselines = [session.run(outputs, dict(run)) for run in feeds]
    scale = sum(np.array([_square(array) for array in arrays]) for arrays in baselines)
    rows = []
    for name, values in changes:
        row = np.zeros(len(outputs))
        for run, baseline in zip(feeds, baselines, strict=True):
            changed = session.run(outputs, {**run, name: values})
            row += [_square(left - right) for left, right in zip(changed, baseline, strict=True)]
        rows.append(row / scale)
    return np.array(rows)


def _square(array: NDArray[Any]) -> float:
    return float(np.square(array, dtype=np.float64).sum())


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    names: list[str] = []
    free = _MAX_BYTES
    for name, size in sizes.items():
        needed = size * size * np.dtype(np.float64).itemsize
        if names and needed > free:
            yield names
            names, free = [], _MAX_BYTES
        names.append(name)
        free -= needed
    yield names


def probing_session(
    model: onnx.ModelProto, outputs: Sequence[str] = (), inputs: Sequence[str] = ()
) -> onnxruntime.InferenceSession:
    """Load a copy of a graph that returns more tensors, and takes some weights as inputs too.

    Args:
        model: the graph.
        outputs: names of its tensors; those of its inputs are ignored.
        inputs: names of the weights that become inputs; repetitions are ignored.
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
