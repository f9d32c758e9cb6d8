"""Write an ONNX model, with its weights in a file beside it if they are large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import set_external_data

#: Weights go into ``NAME.onnx_data`` when they are larger than this many bytes.
EXTERNAL_DATA_ABOVE = 1 << 30

#: Smaller tensors always stay in the graph: some consumers read shape constants from there.
SMALLEST_EXTERNAL = 1024

#: Receives weights that are computed one by one, beside the graph, until the graph is saved.
_NEW_WEIGHTS = "new_weights"


def read_weight(tensor: TensorProto, folder: Path) -> NDArray[Any]:
    """Return a weight of a graph whose weights were not loaded, from the graph's folder."""
    array: NDArray[Any] = numpy_helper.to_array(tensor, str(folder))
    return array


def write_weight(tensor: TensorProto, array: NDArray[Any], folder: Path) -> None:
    """Append a weight's values to a file in the graph's folder, and let the weight refer to them.

    The file is there until :func:`drop_written` removes it.
    """
    with (folder / _NEW_WEIGHTS).open("ab") as file:
        start = file.tell()
        size = file.write(np.ascontiguousarray(array).data)
    tensor.raw_data = b""  # what set_external_data asks for
    set_external_data(tensor, _NEW_WEIGHTS, start, size)
    tensor.ClearField("raw_data")


def drop_written(folder: Path) -> None:
    """Remove what :func:`write_weight` wrote; graphs that need it must be saved before."""
    (folder / _NEW_WEIGHTS).unlink(missing_ok=True)


def save_model(
    model: ir.Model | onnx.ModelProto,
    path: Path,
    external_above: int = EXTERNAL_DATA_ABOVE,
    folder: Path | None = None,
) -> None:
    """Write a model; above ``external_above`` bytes of weights they go into ``NAME.onnx_data``.

    They are written one by one, without a second copy in memory. A model that is already there is
    replaced, its weights included.

    Args:
        model: the model.
        path: of the file.
        external_above: bytes.
        folder: where weights of a ``ModelProto`` lie that were not loaded; that of ``path`` if
            ``None``.
    """
    if isinstance(model, onnx.ModelProto):
        model = ir.from_proto(model)
        ir.external_data.set_base_dir(model.graph, folder or path.parent)
    weights = [value.const_value for value in model.graph.initializers.values()]
    beside = path.with_name(f"{path.name}_data")
    if sum(weight.nbytes for weight in weights) > external_above:
        ir.save(model, path, external_data=beside.name, size_threshold_bytes=SMALLEST_EXTERNAL)
    else:
        ir.save(ir.external_data.load_to_model(model), path)
        beside.unlink(missing_ok=True)  # left by a larger model
