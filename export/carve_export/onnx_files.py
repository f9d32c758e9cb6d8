"""Write an ONNX model, its weights beside it where they are many."""

from __future__ import annotations

from pathlib import Path

import onnx

#: Weights go into ``NAME.onnx_data`` when they are larger than this many bytes.
EXTERNAL_DATA_ABOVE = 1 << 30

#: Smaller tensors always stay in the graph: some consumers read shape constants from there.
SMALLEST_EXTERNAL = 1024


def save_model(
    model: onnx.ModelProto, path: Path, external_above: int = EXTERNAL_DATA_ABOVE
) -> None:
    """Write a model; above ``external_above`` bytes of weights they go into ``NAME.onnx_data``."""
    if sum(tensor.ByteSize() for tensor in model.graph.initializer) > external_above:
        onnx.save(
            model,
            path,
            save_as_external_data=True,
            location=f"{path.name}_data",
            size_threshold=SMALLEST_EXTERNAL,
        )
    else:
        onnx.save(model, path)
