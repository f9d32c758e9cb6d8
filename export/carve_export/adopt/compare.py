"""Run a folder's graphs as they were and as a bundle has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from carve_export.adopt.fit import LOGITS_KEPT, PIXEL_MASK
from carve_export.tap.check import LOGS_NOTHING, numpy_type
from carve_models import names
from carve_models.errors import ExportError, ParityError, first_line
from carve_models.graph_spec import GraphSpec, Tensor

Arrays = dict[str, NDArray[Any]]

_SEED = 0
_LENGTH = 7  # positions of a prompt
#: Views of the image, where a run of the vision encoder sees several.
_VIEWS = 2
#: How far results may be apart, as a share of the largest: of graphs in float32, in half precision,
#: and of those that round each run's numbers by the largest among them.
_ALLOWED, _ALLOWED_HALF, _ALLOWED_ROUNDED = 1e-4, 2e-2, 0.2
_ROUNDING = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul"}


@dataclass(frozen=True)
class Difference:
    """How far two runs of a graph are apart.

    Attributes:
        graph: its name.
        name: the output.
        error: largest difference, as a share of the largest value.
        allowed: how much it may be.
    """

    graph: str
    name: str
    error: float
    allowed: float


def allowed_error(operators: set[str], dtype: str) -> float:
    """Return how far results may be apart, by a graph's operators and what it computes in."""
    if operators & _ROUNDING:
        return _ALLOWED_ROUNDED
    return _ALLOWED if dtype == "float32" else _ALLOWED_HALF


def compare_graph(
    name: str, before: Path, after: Path, spec: GraphSpec, allowed: float
) -> list[Difference]:
    """Run a graph as it was and as the bundle has it, and require the same results.

    Args:
        name: of the graph.
        before: the folder's file.
        after: the bundle's file.
        spec: the bundle's interface.
        allowed: see :func:`allowed_error`.

    Raises:
        ExportError: a graph that cannot be run here, or other sizes than the configurations say.
        ParityError: they differ.
    """
    inputs = {tensor.name: _example(tensor) for tensor in spec.inputs}
    expected, actual = _run(before, inputs), _run(after, inputs)
    found = []
    for tensor in spec.outputs:
        if tensor.name not in expected:
            continue  # rows of attention, which the tap has compared
        array, wanted = actual[tensor.name], expected[tensor.name]
        if tensor.name == names.LOGITS:
            wanted = wanted[:, -1:]
        if array.size != wanted.size or not _has_sizes(array, tensor, inputs):
            raise ExportError(
                f"{tensor.name} of the {name} is {list(array.shape)} and was "
                f"{list(wanted.shape)}, and the folder's configurations say {list(tensor.shape)}",
                "give the graphs and the configurations of one model",
            )
        error = relative_error(array, wanted.reshape(array.shape))
        found.append(Difference(name, tensor.name, error, allowed))
    require(found, "differ from what the folder's graph returns")
    return found


def require(found: list[Difference], cause: str) -> None:
    """Raise :class:`ParityError` if results are farther apart than is allowed."""
    for each in found:
        if not each.error <= each.allowed:  # NaN is refused too
            raise ParityError(
                f"{each.name} of the {each.graph}: results {cause}, by {each.error:.1e} of the "
                f"largest ({each.allowed:.0e} are allowed)",
                "report the model and its exporter, or export its checkpoint with carve-export",
            )


def _example(tensor: Tensor) -> NDArray[Any]:
    """Return an input of a prompt, or of an image."""
    sizes = {
        names.BATCH: _VIEWS if tensor.name == names.PIXEL_VALUES else 1,
        names.SEQUENCE: _LENGTH,
        names.TOTAL: _LENGTH,
        names.PAST: 0,
    }
    shape = [size if isinstance(size, int) else sizes[size] for size in tensor.shape]
    if tensor.name == names.ATTENTION_MASK:
        return np.ones(shape, tensor.dtype)
    if tensor.name == names.POSITION_IDS:
        return np.asarray(np.broadcast_to(np.arange(_LENGTH), shape), tensor.dtype)
    if tensor.name == names.INPUT_IDS:
        return np.asarray(np.arange(_LENGTH).reshape(shape), tensor.dtype)
    values = np.random.default_rng(_SEED).standard_normal(shape)
    return np.asarray(values, tensor.dtype)


def _has_sizes(array: NDArray[Any], tensor: Tensor, inputs: Arrays) -> bool:
    """Return whether a result has the sizes of its interface, and one row for each image."""
    fixed = zip(array.shape, tensor.shape, strict=False)
    same = all(size == wanted for size, wanted in fixed if isinstance(wanted, int))
    images = inputs.get(names.PIXEL_VALUES)
    whole = images is None or array.shape[0] == images.shape[0]
    return array.ndim == len(tensor.shape) and same and whole


def relative_error(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference, as a share of the largest expected value."""
    wide = actual.astype(np.float64), expected.astype(np.float64)
    largest = float(np.abs(wide[1]).max(initial=0)) or 1.0
    return float(np.abs(wide[0] - wide[1]).max(initial=0)) / largest


def _run(path: Path, inputs: Arrays) -> Arrays:
    """Return the results of a graph, whichever of the two interfaces it has."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOGS_NOTHING
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        given = dict(_taken(session.get_inputs(), inputs))
        outputs = [output.name for output in session.get_outputs()]
        return dict(zip(outputs, session.run(None, given), strict=True))
    except Exception as error:  # ONNX Runtime's own classes have no common base
        raise ExportError(
            f"ONNX Runtime cannot run {path.name} on this CPU: {first_line(error)}",
            "check that its files are whole; --unchecked writes the bundle without running it",
        ) from error


def _taken(entries: list[Any], inputs: Mapping[str, NDArray[Any]]) -> Iterator[Any]:
    """Yield what each input of a session takes, by name."""
    for entry in entries:
        dtype = numpy_type(entry)
        if entry.name == PIXEL_MASK:
            pixels = inputs[names.PIXEL_VALUES]
            yield entry.name, np.ones((1, len(pixels), *pixels.shape[2:]), dtype)
        elif entry.name == LOGITS_KEPT:
            yield entry.name, np.ones((), dtype)
        else:
            array = inputs[entry.name].astype(dtype)
            yield entry.name, array[None] if len(entry.shape) > array.ndim else array
