"""Export a model of any size without its weights, on any machine.

For the trace every matrix is one number, repeated by strides of zero. The graphs name the places
of weights that :mod:`tools.gpu_check.weights` makes where they are needed.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx_ir as ir
import onnxscript
import torch
import transformers

from carve_export import ExportOptions, export_bundle
from carve_export.checkpoint.family import find_family
from carve_export.checkpoint.load import Checkpoint
from carve_export.checkpoint.weights import DTYPES
from carve_export.trace.graph import trace_graph
from carve_export.trace.storage import SUFFIX
from carve_export.trace.traceable import Traceable
from carve_models.errors import ExportError
from carve_models.graph_spec import Dtype, GraphSpec
from carve_models.names import graph_file
from tools.gpu_check.empty import empty_model, set_parameter
from tools.gpu_check.plan import Place, Plan, write_plan
from tools.gpu_check.weights import random_values

#: Where a weight may begin in a file, in bytes: at a page, so that the file can be mapped.
_ALIGNMENT = 4096

#: Bytes of the largest constant that a graph may hold besides parameters.
_LARGEST_CONSTANT = 1 << 16


def export_weightless(source: Path, out: Path, dtype: Dtype) -> Plan:
    """Export the checkpoint of a folder that has everything but weights; return what it lacks.

    Raises:
        ExportError: a graph holds what was computed from weights.
        CarveError: as in :func:`carve_export.export_bundle`.
    """
    checkpoint = _checkpoint(source, dtype)
    export = _Export(checkpoint.model)
    options = ExportOptions(dtype=dtype, unchecked=True, overwrite=True)
    with ExitStack() as stack:
        for place, replacement in (
            ("carve_export.exporter.load_checkpoint", lambda *_, **__: checkpoint),
            ("carve_export.exporter.trace_graph", export.trace),
        ):
            stack.enter_context(patch(place, replacement))
        export_bundle(str(source), out, options)
    plan = Plan(dtype, tuple(export.places), export.sizes)
    write_plan(out, plan)
    return plan


def _checkpoint(folder: Path, dtype: Dtype) -> Checkpoint:
    model = empty_model(folder, DTYPES[dtype], "eager")
    for name, parameter in list(model.named_parameters()):
        if parameter.dim() > 1:
            value = torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
        else:  # the exporter looks at norms, and would merge vectors that are equal
            value = random_values(name, parameter, "cpu")
        set_parameter(model, name, value)
    model.tie_weights()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return Checkpoint(str(folder), find_family(model.config), model, tokenizer, processor, dtype)


class _Export:
    """Writes graphs that refer to weights by place, and remembers the places."""

    def __init__(self, model: Any) -> None:
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.places: list[Place] = []
        self.sizes: dict[str, int] = {}

    def trace(self, traceable: Traceable, folder: Path, **options: Any) -> GraphSpec:
        """Do what :func:`carve_export.trace.graph.trace_graph` does, but for the weights."""
        parameters = {
            name: self._names[id(parameter)]
            for name, parameter in traceable.module.named_parameters(remove_duplicate=False)
        }
        file = f"{graph_file(traceable.name)}_data"

        def keep(node: ir.Node) -> bool | None:
            """Say that what depends on a parameter is not folded; of others nothing is said."""
            sources = [value.name or "" for value in node.inputs if value is not None]
            read = {name.removesuffix(SUFFIX) for name in sources}
            return None if read.isdisjoint(parameters) else False

        optimize = partial(onnxscript.optimizer.optimize_ir, should_fold=keep)
        save = partial(self._save, parameters, file)
        with (
            patch("onnxscript.optimizer.optimize_ir", optimize),
            patch("carve_export.trace.graph.save_model", save),
        ):
            return trace_graph(traceable, folder, **options)

    def _save(
        self, parameters: dict[str, str], file: str, model: ir.Model, path: Path, *_: Any
    ) -> None:
        end = 0
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            assert tensor is not None
            traced = name.removesuffix(SUFFIX)
            if traced not in parameters:
                if tensor.nbytes > _LARGEST_CONSTANT:
                    raise ExportError(
                        f"{name} in {path.name} is computed from weights that are not there",
                        "keep the exporter from folding it",
                    )
                continue
            sizes, transposed = tuple(map(int, tensor.shape)), name != traced
            shape = sizes[::-1] if transposed else sizes
            self.places.append(Place(parameters[traced], file, end, shape, transposed))
            value.const_value = ir.ExternalTensor(
                Path(file).name,
                end,
                tensor.nbytes,
                tensor.dtype,
                shape=tensor.shape,
                name=name,
                base_dir=path.parent,
            )
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        self.sizes[file] = end
        ir.save(model, path)
