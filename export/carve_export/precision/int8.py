"""8-bit weights, activations quantised as they come (``MatMulInteger``): standard operators."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from carve_export.calibration import FeedSource
from carve_export.precision.products import WITH_WEIGHTS, products


def to_int8(model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource) -> onnx.ModelProto:
    """Return a model in int8, see :func:`carve_export.precision.lower`."""
    del feeds  # activations are quantised as they come
    chosen = [node.name for node in products(model, only)]
    if not chosen:
        return model
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=sorted(WITH_WEIGHTS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(path)
