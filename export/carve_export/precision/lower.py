"""Change a graph's products to another precision."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias, get_args

import onnx
from onnx.external_data_helper import load_external_data_for_model

from carve_export.precision.calibration import FeedSource
from carve_export.precision.choice import Precision
from carve_export.precision.half import HalfType, to_half
from carve_export.precision.int4 import to_int4, to_nearest
from carve_export.precision.int8 import to_int8, to_static_int8
from carve_export.precision.products import WITH_WEIGHTS
from carve_models import names

#: Takes a graph, results of the products to change (all if ``None``), the source of its inputs, and
#: the folder where weights lie that are not in the graph.
Lower: TypeAlias = Callable[[onnx.ModelProto, set[str] | None, FeedSource, Path], onnx.ModelProto]


def lower_decoder(
    model: onnx.ModelProto, body: Precision, lm_head: Precision, feeds: FeedSource, folder: Path
) -> onnx.ModelProto:
    """Return the decoder with its body and its last product in precisions of their own.

    The arguments are those of :func:`lower`.
    """
    rest, head = body_and_head(model)
    # Half precision last: the other methods run the graph, and not every machine runs bfloat16.
    parts = (body, rest), (lm_head, head)
    for precision, only in sorted(parts, key=lambda part: part[0] in get_args(HalfType)):
        model = lower(model, precision, feeds, folder, only)
    return model


def body_and_head(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Return the results of a decoder's body and of its last product."""
    last = next(node for node in model.graph.node if names.LOGITS in node.output)
    head = {names.LOGITS} if last.op_type in WITH_WEIGHTS else set(last.input)
    return {node.output[0] for node in model.graph.node} - head, head


def lower(
    model: onnx.ModelProto,
    precision: Precision,
    feeds: FeedSource,
    folder: Path,
    only: set[str] | None = None,
) -> onnx.ModelProto:
    """Return a model whose products are in a precision; the given one may be changed.

    Args:
        model: in float32, or in float16 for weights in blocks; its weights need not be loaded.
        precision: the precision; ``fp32`` leaves the model as it is.
        feeds: returns recorded inputs of the graph; called only by methods that need them.
        folder: where weights lie that are not loaded, before and after.
        only: results of the products to change; all if ``None``.
    """
    if precision == "fp32":
        return model
    with _quiet():
        return _LOWER[precision](model, only, feeds, folder)


def _half(precision: HalfType) -> Lower:
    def lowered(
        model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource, folder: Path
    ) -> onnx.ModelProto:
        del feeds
        load_external_data_for_model(model, str(folder))
        to_half(model, precision, only)
        return model

    return lowered


_LOWER: Mapping[Precision, Lower] = {
    "fp16": _half("fp16"),
    "bf16": _half("bf16"),
    "int8": to_int8,
    "int8-static": to_static_int8,
    "int4": to_int4,
    "int4-only": partial(to_int4, tolerance=math.inf),
    "int4-nearest": partial(to_nearest, bits=4),
    "int8-nearest": partial(to_nearest, bits=8),
}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the quantisers log about every node."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
