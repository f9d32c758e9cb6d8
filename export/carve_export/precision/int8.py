"""8-bit weights and activations, in standard operators.

``int8`` quantises activations as they come (``MatMulInteger``). ``int8-static`` fixes their scales
beforehand, at the largest absolute value seen in calibration, and writes ``QuantizeLinear`` and
``DequantizeLinear`` around each product, symmetric on both sides: what TensorRT and most
accelerators read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

from carve_export.calibration import Feeds, FeedSource
from carve_export.precision.products import WITH_WEIGHTS, products


def to_int8(model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource) -> onnx.ModelProto:
    """Return a model in int8, see :func:`carve_export.precision.lower`."""
    del feeds  # activations are quantised as they come
    return _quantized(quantize_dynamic, model, only)


def to_static_int8(
    model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource
) -> onnx.ModelProto:
    """Return a model in static int8, see :func:`carve_export.precision.lower`."""

    def quantize(model: onnx.ModelProto, path: Path, **options: Any) -> None:
        extra = {
            **options.pop("extra_options"),
            "ActivationSymmetric": True,
            # A result is quantised where the next product reads it: sums and norms are exact.
            "OpTypesToExcludeOutputQuantization": options["op_types_to_quantize"],
        }
        quantize_static(
            model,
            path,
            _Reader(feeds()),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            extra_options=extra,
            **options,
        )

    return _quantized(quantize, model, only)


def _quantized(
    quantize: Callable[..., None], model: onnx.ModelProto, only: set[str] | None
) -> onnx.ModelProto:
    chosen = [node.name for node in products(model, only)]
    if not chosen:
        return model
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "int8.onnx"
        quantize(
            model,
            path,
            op_types_to_quantize=sorted(WITH_WEIGHTS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(path)


class _Reader(CalibrationDataReader):
    """Recorded runs, one after the other."""

    def __init__(self, feeds: Feeds) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        feed = next(self._left, None)
        return None if feed is None else dict(feed)
