"""Read a decoder without its weights, and write it where it is complete or not there at all."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import onnx
import onnx_ir as ir

from carve_models.errors import ExportError, first_line
from carve_models.folder import stays_inside
from carve_models.replacing import replacing


def read_graph(path: Path) -> ir.Model:
    """Return a model; weights in files beside it stay there.

    Raises:
        ExportError: it is no ONNX model, or names files that are missing or outside its folder.
    """
    if not path.is_file():
        raise ExportError(f"there is no file {path}", "give the decoder's .onnx file")
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf, onnx and onnx_ir each have errors of their own
        raise ExportError(
            f"{path} is no ONNX model: {first_line(error)}", "export or download it again"
        ) from error
    if not model.graph.opset_imports or not len(model.graph):
        raise ExportError(f"{path} is an empty ONNX model", "export or download it again")
    for name in external_files(model):
        _require_beside(path, name)
    return model


def _require_beside(path: Path, name: str) -> None:
    folder = path.parent.resolve()
    if not stays_inside(name):
        raise ExportError(
            f"{path.name} has weights in {name!r}, outside its folder",
            "do not use this file; export or download it again",
        )
    if not (folder / name).resolve().is_relative_to(folder):
        raise ExportError(
            f"the weights of {path.name} are behind a link, outside its folder: {name}",
            "put the file itself there; from the hub: hf download REPOSITORY --local-dir FOLDER",
        )
    if not (path.parent / name).is_file():
        raise ExportError(
            f"the weights of {path.name} are missing: {path.parent / name}",
            "put the file back, or download it again",
        )


def external_files(model: ir.Model) -> list[str]:
    """Return the names of the files that hold weights, relative to the model's folder."""
    found = {str(t.location) for t in _tensors(model) if isinstance(t, ir.ExternalTensor)}
    return sorted(found)


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    graphs = [model.graph, *model.graph.subgraphs(), *model.functions.values()]
    for graph in graphs:
        if isinstance(graph, ir.Graph):
            for value in graph.initializers.values():
                if value.const_value is not None:
                    yield value.const_value
        for node in graph:
            for entry in node.attributes.values():
                if entry.type == ir.AttributeType.TENSOR:
                    yield entry.as_tensor()
                elif entry.type == ir.AttributeType.TENSORS:
                    yield from entry.as_tensors()


def require_free(source: Path, out: Path, data: list[str], *, overwrite: bool) -> None:
    """Refuse places that are taken.

    Files of weights are never replaced: other graphs may refer to them.

    Raises:
        ExportError: something is at ``out``, it is the place of weights, or other weights are
            beside it.
    """
    weights = [(folder / name).resolve() for folder in (source.parent, out.parent) for name in data]
    if out.resolve() in weights:
        raise ExportError(f"{out} is where the weights are", "choose another name")
    if out.is_dir() or (out.exists() and not overwrite):
        remedy = "name a file" if out.is_dir() else "give --overwrite, or choose another name"
        raise ExportError(f"{out} is already there", remedy)
    for name in data:
        place = out.parent / name
        if place.exists() and not filecmp.cmp(source.parent / name, place, shallow=False):
            raise ExportError(
                f"{place} holds other weights than {source.parent / name}",
                "choose another folder",
            )


def write_graph(model: onnx.ModelProto, data: list[str], source: Path, out: Path) -> None:
    """Write a model, and copies of its files of weights unless they are there.

    The model takes its place last, so that all of it is there when it is.
    """
    with ExitStack() as places:
        aside = places.enter_context(replacing(out))  # entered first, it takes its place last
        aside.write_bytes(model.SerializeToString())
        for name in data:
            place = out.parent / name
            if not place.exists():
                shutil.copyfile(source.parent / name, places.enter_context(replacing(place)))
