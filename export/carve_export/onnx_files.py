"""Write an ONNX model, with its weights in a file beside it if they are large."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir

#: Weights go into ``NAME.onnx_data`` when they are larger than this many bytes.
EXTERNAL_DATA_ABOVE = 1 << 30

#: Smaller tensors always stay in the graph: some consumers read shape constants from there.
SMALLEST_EXTERNAL = 1024


def save_model(
    model: ir.Model | onnx.ModelProto, path: Path, external_above: int = EXTERNAL_DATA_ABOVE
) -> None:
    """Write a model; above ``external_above`` bytes of weights they go into ``NAME.onnx_data``.

    They are written one by one, without a second copy in memory. A model that is already there is
    replaced, its weights included.
    """
    model = model if isinstance(model, ir.Model) else ir.from_proto(model)
    weights = [value.const_value for value in model.graph.initializers.values()]
    beside = path.with_name(f"{path.name}_data")
    if sum(weight.nbytes for weight in weights) > external_above:
        ir.save(model, path, external_data=beside.name, size_threshold_bytes=SMALLEST_EXTERNAL)
    else:
        ir.save(ir.external_data.load_to_model(model), path)
        beside.unlink(missing_ok=True)  # left by a larger model
