"""A bundle in, a folder of engines out; complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from carve_export.onnx_files import save_model
from carve_export.precision.half import to_half
from carve_export.publish.claim import claim
from carve_export.publish.folders import file_entries
from carve_export.publish.place import require_free
from carve_export.tensorrt.builder import Builder, BuildOptions, Built, OnProgress
from carve_export.tensorrt.ranges import default_ranges, override, ranges_for
from carve_export.tensorrt.softmax import unguard_softmax
from carve_models import names
from carve_models.engines import (
    EngineManifest,
    EnginePrecision,
    Target,
    TensorRtEngine,
    read_engines,
    write_engines,
)
from carve_models.errors import EngineError, SettingsError
from carve_models.graph_spec import Dtype, GraphSpec, Tensor
from carve_models.interface import expected_graphs, require_tensors
from carve_models.manifest import Manifest
from carve_runtime.bundle import Bundle, open_bundle, sha256

#: The precision of engines of a bundle's own graphs.
_OWN: dict[Dtype, EnginePrecision] = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What to build.

    Attributes:
        target: the builder.
        build: the builder's options.
        precision: of matrix products and convolutions; the bundle's own if ``None``, and no other
            if that is half.
        graphs: which graphs to build; those that the runtime runs if empty.
        ranges: replaced ranges, each as ``name=smallest:usual:largest``.
        overwrite: replace a folder of engines that is already there.
    """

    target: Target
    build: BuildOptions = field(default_factory=BuildOptions)
    precision: EnginePrecision | None = None
    graphs: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    overwrite: bool = False


def build_engines(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: EngineOptions,
    *,
    on_graph: Callable[[str], None] = lambda graph: None,
    on_progress: OnProgress = lambda phase, done, steps: None,
) -> EngineManifest:
    """Build engines of a bundle's graphs, and only then show them at ``out``.

    Args:
        folder: a bundle of the profile ``portable``.
        out: the folder of engines.
        options: see :class:`EngineOptions`.
        on_graph: called with the name of each graph before it is built.
        on_progress: called with the builder's phases.

    Raises:
        BundleError: the bundle cannot be used.
        EngineError: the bundle is of another profile, or the builder refuses a graph.
        DependencyError: the builder is not installed.
        SettingsError: an option out of range, or a precision that the bundle cannot have.
        ExportError: ``out`` is already there, another export is writing to it, or it cannot be
            written.
    """
    bundle, target = open_bundle(folder), Path(out)
    require_free(target, overwrite=options.overwrite)
    _require_portable(bundle)
    precision = _precision(bundle.manifest.dtype, options.precision)
    lowered = precision if bundle.manifest.dtype == "float32" else None
    builder = Builder(options.target, options.build)
    interfaces = _interfaces(bundle.manifest)
    ranges = override(default_ranges(bundle.manifest), options.ranges)
    selected = options.graphs or _default_graphs(bundle.manifest)
    unknown = sorted(set(selected) - set(interfaces))
    if unknown:
        raise SettingsError(
            f"there is no graph {unknown[0]!r} to build", f"choose from {', '.join(interfaces)}"
        )
    engines: dict[str, TensorRtEngine] = {}
    with (
        claim(target, overwrite=options.overwrite) as claimed,
        tempfile.TemporaryDirectory() as work,
    ):
        for name in selected:
            on_graph(name)
            interface, source = interfaces[name], bundle.path(names.graph_file(name))
            inputs = interface.inputs
            limits = ranges_for(name, inputs, ranges)
            with _in_precision(source, lowered, Path(work)) as path:
                built = builder.build(path, inputs, limits, on_progress)
            _require_same(name, built, interface)
            file = f"{name}.engine"
            (claimed.folder / file).write_bytes(built.data)
            engines[name] = TensorRtEngine(
                file=file,
                source=sha256(source),
                inputs=inputs,
                outputs=interface.outputs,
                ranges=limits,
            )
        manifest = EngineManifest(
            target=options.target,
            version=builder.version,
            compute_capabilities=builder.compute_capabilities,
            precision=precision,
            stripped=options.build.stripped,
            engines=engines,
            files=file_entries(claimed.folder),
        )
        write_engines(claimed.folder, manifest)
        claimed.publish(read_engines)
    return manifest


def _precision(dtype: Dtype, asked: EnginePrecision | None) -> EnginePrecision:
    """Return the precision of a bundle's engines."""
    own = _OWN[dtype]
    if asked not in (None, own) and dtype != "float32":
        raise SettingsError(
            f"the bundle computes in {dtype}, and its engines cannot be {asked}",
            "leave --precision out",
        )
    return asked or own


def _interfaces(manifest: Manifest) -> dict[str, GraphSpec]:
    """Return the graphs that can be built, their inputs' dimensions named."""
    left_out = {names.PREPROCESS, names.CARVE_REFINE}
    return {
        name: graph for name, graph in expected_graphs(manifest).items() if name not in left_out
    }


def _default_graphs(manifest: Manifest) -> tuple[str, ...]:
    """Return what the runtime runs."""
    parts = [part.name for part in manifest.decoder.parts]
    return (names.VISION_ENCODER, names.EMBED_TOKENS, *parts)


def _require_portable(bundle: Bundle) -> None:
    if bundle.manifest.profile != "portable":
        raise EngineError(
            f"{bundle.folder} is of the profile {bundle.manifest.profile}, whose fused attention "
            "only ONNX Runtime has",
            "export the checkpoint with --profile portable",
        )


@contextmanager
def _in_precision(source: Path, precision: EnginePrecision | None, work: Path) -> Iterator[Path]:
    """Yield an ONNX file in the precision that is asked for, or as it is."""
    if precision is None or precision == "fp32":
        yield source
        return
    model = onnx.load(source)
    unguard_softmax(model)
    to_half(model, precision)
    path = work / f"{source.stem}_{precision}.onnx"
    save_model(model, path)
    yield path


def _require_same(name: str, built: Built, interface: GraphSpec) -> None:
    """Check names, dtypes and the inputs' fixed sizes; TensorRT infers the outputs' later."""
    pairs = (built.inputs, interface.inputs), (built.outputs, interface.outputs)
    for actual, expected in pairs:
        if _names_and_dtypes(actual) != _names_and_dtypes(expected):
            raise EngineError(
                f"the network of {name} has {_names_and_dtypes(actual)}, expected "
                f"{_names_and_dtypes(expected)}",
                "report the versions of TensorRT and onnx",
            )
    require_tensors(f"the network of {name}", "inputs", built.inputs, interface.inputs)


def _names_and_dtypes(tensors: tuple[Tensor, ...]) -> list[tuple[str, str]]:
    return [(tensor.name, tensor.dtype) for tensor in tensors]
