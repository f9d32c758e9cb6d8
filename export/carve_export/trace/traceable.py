"""What a trace needs of a module: example inputs, dynamic sizes and names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
from torch import nn
from torch.export import Dim

from carve_models import names

BATCH = Dim(names.BATCH)

#: Above one, so that the trace does not take it for a constant.
EXAMPLE_BATCH = 2


@dataclass(frozen=True)
class Traceable:
    """A module with everything that a trace needs.

    Attributes:
        inner: names of further results, after ``outputs``, that the graph keeps to itself.
        rewriting: what is applied to the graph, if anything.
    """

    name: str
    module: nn.Module
    example: tuple[Any, ...]
    dynamic_shapes: tuple[Any, ...]
    inputs: list[str]
    outputs: list[str]
    inner: list[str] = field(default_factory=list)
    rewriting: ir.passes.PassBase | None = None
