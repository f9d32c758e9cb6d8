"""4-bit weights in blocks with a scale and a zero point each: ONNX Runtime's ``MatMulNBits``."""

from __future__ import annotations

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from carve_export.calibration import FeedSource
from carve_export.precision.products import products

_BLOCK = 32


def to_int4(model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource) -> onnx.ModelProto:
    """Return a model in int4, see :func:`carve_export.precision.lower`."""
    del feeds  # rounded to nearest
    chosen = {node.name for node in products(model, only)}
    quantizer = MatMulNBitsQuantizer(
        model,
        block_size=_BLOCK,
        is_symmetric=False,
        nodes_to_exclude=sorted({node.name for node in model.graph.node} - chosen),
        op_types_to_quantize=("MatMul",),
    )
    quantizer.process()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized
