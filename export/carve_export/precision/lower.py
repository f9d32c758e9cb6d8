"""Lower precision, component by component; every change is measured against float32.

| precision | weights and products |
| --- | --- |
| ``fp16`` | see :mod:`carve_export.half` |
| ``int8`` | 8-bit weights, activations quantised as they come (``MatMulInteger``) |
| ``int4`` | 4-bit weights in blocks of 32 with a scale each: ONNX Runtime's ``MatMulNBits`` |

bfloat16 is for engines alone: ONNX Runtime has no such products on a CPU, so its quality could not
be measured.

The decoder's last product, ``lm_head``, and the token embedding are components of their own: small
models lose most there. The tap is float32 in every precision.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from carve_export.half import kept_exact, to_half
from carve_models import names
from carve_models.errors import SettingsError

Precision = Literal["fp32", "fp16", "int8", "int4"]
Component = Literal["vision_encoder", "embed_tokens", "decoder", "lm_head"]

_BLOCK = 32
_WITH_WEIGHTS = {"MatMul", "Gemm", "Gather"}

#: What one word for all means: the parts that lose most stay above 8 bits.
_SPARED: dict[str, Precision] = {"int8": "fp32", "int4": "fp32"}


def parse_precisions(texts: tuple[str, ...]) -> dict[Component, Precision]:
    """Return the precision of each component.

    Args:
        texts: ``fp16`` for all components, or ``decoder=int4`` for one; later ones count. ``int8``
            and ``int4`` for all spare the token embedding and ``lm_head``.

    Raises:
        SettingsError: an unknown component or precision, or none that is below float32.
    """
    chosen: dict[Component, Precision] = dict.fromkeys(get_args(Component), "fp32")
    for text in texts:
        name, separator, value = text.rpartition("=")
        if value not in get_args(Precision) or (separator and name not in chosen):
            raise SettingsError(
                f"{text!r} is no precision",
                f"give one of {', '.join(get_args(Precision))}, alone or as COMPONENT=PRECISION "
                f"with {', '.join(chosen)}",
            )
        for component in chosen:
            if separator and component == name:
                chosen[component] = value  # type: ignore[assignment]
            elif not separator:
                spared = component in ("embed_tokens", "lm_head")
                one = _SPARED.get(value, value) if spared else value
                chosen[component] = one  # type: ignore[assignment]
    if set(chosen.values()) == {"fp32"}:
        raise SettingsError("every component is to stay fp32", "lower at least one")
    return chosen


def lower_decoder(model: onnx.ModelProto, body: Precision, lm_head: Precision) -> onnx.ModelProto:
    """Return the decoder with its body and its last product in precisions of their own."""
    last = next(node for node in model.graph.node if names.LOGITS in node.output)
    head = {names.LOGITS} if last.op_type in _WITH_WEIGHTS else set(last.input)
    rest = {node.output[0] for node in model.graph.node} - head
    return lower(lower(model, body, rest), lm_head, head)


def lower(
    model: onnx.ModelProto, precision: Precision, only: set[str] | None = None
) -> onnx.ModelProto:
    """Return a model whose products are in a precision; the given one may be changed.

    Args:
        model: in float32.
        precision: the precision.
        only: results of the products to change; all if ``None``.
    """
    if precision == "fp32":
        return model
    with _quiet():
        return _LOWER[precision](model, only)


def _fp16(model: onnx.ModelProto, only: set[str] | None) -> onnx.ModelProto:
    to_half(model, "fp16", only)
    return model


def _int8(model: onnx.ModelProto, only: set[str] | None) -> onnx.ModelProto:
    chosen = _chosen(model, only)
    if not chosen:
        return model
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=sorted(_WITH_WEIGHTS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(path)


def _int4(model: onnx.ModelProto, only: set[str] | None) -> onnx.ModelProto:
    others = {node.name for node in model.graph.node} - set(_chosen(model, only))
    quantizer = MatMulNBitsQuantizer(
        model,
        block_size=_BLOCK,
        is_symmetric=False,
        nodes_to_exclude=sorted(others),
        op_types_to_quantize=("MatMul",),
    )
    quantizer.process()
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


_LOWER: Mapping[Precision, Callable[[onnx.ModelProto, set[str] | None], onnx.ModelProto]] = {
    "fp16": _fp16,
    "int8": _int8,
    "int4": _int4,
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantisers' remarks on every node."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _chosen(model: onnx.ModelProto, only: set[str] | None) -> list[str]:
    """Return the names of the nodes that multiply or look up weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    exact = kept_exact(model.graph)
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _WITH_WEIGHTS
        and weights.intersection(node.input[:2])
        and node.output[0] not in exact
        and (only is None or node.output[0] in only)
    ]
