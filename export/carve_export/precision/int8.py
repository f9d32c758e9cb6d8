"""8-bit weights and activations, in standard operators.

``int8`` quantises activations as they come (``MatMulInteger``). ``int8-static`` fixes their scales
beforehand, at the largest absolute value seen in calibration, and writes ``QuantizeLinear`` and
``DequantizeLinear`` around each product, symmetric on both sides: what TensorRT and most
accelerators read. Products whose inputs have outliers stay in float32
(:mod:`carve_export.precision.outliers`).

x86 without VNNI adds pairs of products in 16 bits, where signed weights of 8 bits overflow: those
of ``int8`` are unsigned, those of ``int8-static``, symmetric, have 7 bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx
from onnx import NodeProto
from onnx.external_data_helper import load_external_data_for_model
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

from carve_export.precision.calibration import Feeds, FeedSource
from carve_export.precision.outliers import with_outliers
from carve_export.precision.products import LOOK_UP, WITH_WEIGHTS, products


def to_int8(
    model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource, folder: Path
) -> onnx.ModelProto:
    """Return a model in int8, see :func:`carve_export.precision.lower`."""
    chosen = _without_outliers(model, folder, only, feeds, fixed=False)
    quantize = partial(quantize_dynamic, weight_type=QuantType.QUInt8)
    return _quantized(quantize, model, folder, chosen)


def to_static_int8(
    model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource, folder: Path
) -> onnx.ModelProto:
    """Return a model in static int8, see :func:`carve_export.precision.lower`."""
    chosen = _without_outliers(model, folder, only, feeds, fixed=True)
    quantize = partial(
        quantize_static,
        calibration_data_reader=Reader(feeds()),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,
    )
    extra = {
        "ActivationSymmetric": True,
        # A result is quantised where the next product reads it: sums and norms are exact.
        "OpTypesToExcludeOutputQuantization": sorted(WITH_WEIGHTS),
    }
    return _quantized(quantize, model, folder, chosen, extra)


def _without_outliers(
    model: onnx.ModelProto, folder: Path, only: set[str] | None, feeds: FeedSource, *, fixed: bool
) -> list[NodeProto]:
    """Return the products that 8 bits suit; look-ups in a table always do."""
    chosen = products(model, only)
    inputs = [node.input[0] for node in chosen if node.op_type != LOOK_UP]
    outlying = with_outliers(model, folder, inputs, feeds(), fixed=fixed) if inputs else set()
    return [node for node in chosen if node.input[0] not in outlying]


def _quantized(
    quantize: Callable[..., None],
    model: onnx.ModelProto,
    folder: Path,
    chosen: list[NodeProto],
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> onnx.ModelProto:
    if not chosen:
        return model
    load_external_data_for_model(model, str(folder))
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "int8.onnx"
        quantize(
            model,
            path,
            op_types_to_quantize=sorted(WITH_WEIGHTS),
            per_channel=True,
            nodes_to_quantize=[node.name for node in chosen],
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True, **extra},
        )
        return onnx.load(path)


class Reader(CalibrationDataReader):
    """Recorded runs, one after the other."""

    def __init__(self, feeds: Feeds) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next run, ``None`` after the last one."""
        feed = next(self._left, None)
        return None if feed is None else dict(feed)
