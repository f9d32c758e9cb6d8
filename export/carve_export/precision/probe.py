"""Run a graph on recorded inputs with other weights: how much each of them matters."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
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


def squared_errors(
    model: onnx.ModelProto,
    folder: Path,
    weights: Iterable[str],
    changes: Iterable[tuple[str, NDArray[Any]]],
    feeds: Feeds,
) -> NDArray[np.float64]:
    """Return how much each change of a single weight changes the graph's results.

    Args:
        model: the graph.
        folder: where its weights lie if they do not lie in the graph.
        weights: names of those that are changed.
        changes: names of weights with other values, one after the other.
        feeds: recorded inputs of the graph.

    Returns:
        (changes, outputs) sums of squared differences, relative to the output's own sum of squares;
        caches do not count.
    """
    session = _with_inputs(model, folder, weights)
    names = [output.name for output in session.get_outputs()]
    outputs = [name for name in names if not name.startswith(_CACHE)]
    baselines = [_run(session, outputs, run) for run in feeds]
    scale = sum(np.array([_square(array) for array in arrays]) for arrays in baselines)
    rows = []
    for name, values in changes:
        row = np.zeros(len(outputs))
        for run, baseline in zip(feeds, baselines, strict=True):
            changed = _run(session, outputs, {**run, name: values})
            row += [
                _square(left.astype(np.float64) - right)
                for left, right in zip(changed, baseline, strict=True)
            ]
        rows.append(row / scale)
    return np.array(rows)


def _run(
    session: onnxruntime.InferenceSession, outputs: list[str], feeds: Mapping[str, NDArray[Any]]
) -> list[NDArray[np.float32]]:
    """Return outputs of one run; the difference of two in half precision would be rounded."""
    return [array.astype(np.float32) for array in session.run(outputs, dict(feeds))]


def _square(array: NDArray[Any]) -> float:
    return float(np.square(array, dtype=np.float64).sum())


def _with_inputs(
    model: onnx.ModelProto, folder: Path, inputs: Iterable[str]
) -> onnxruntime.InferenceSession:
    """Load a copy of a graph that takes some weights as inputs too; repetitions are ignored."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.input.extend(
        helper.make_tensor_value_info(name, weights[name].data_type, weights[name].dims)
        for name in dict.fromkeys(inputs)
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "probe.onnx"
        save_model(probed, path, folder=folder)
        return onnxruntime.InferenceSession(path, options, providers=[_PROVIDER])
