"""A folder of transformers.js in, a bundle out: tap, fit, compare, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from carve_export.adopt.compare import (
    Difference,
    allowed_error,
    compare_graph,
)
from carve_export.adopt.find import COMPONENTS, EXACT, find_graphs, parse_dtypes, require_folder
from carve_export.adopt.fit import fit_graph
from carve_export.adopt.over_cache import compare_over_cache
from carve_export.checkpoint.load import Checkpoint, load_description
from carve_export.describe import complete, describe
from carve_export.onnx_files import save_model
from carve_export.options import ExportOptions
from carve_export.publish.claim import Claim, claim
from carve_export.publish.place import require_apart
from carve_export.steps.graphs import write_step_graphs
from carve_export.tap import TapOptions, TapReport, tap_graph
from carve_export.tap.files import read_graph
from carve_models import names
from carve_models.errors import ExportError
from carve_models.graph_spec import Dtype
from carve_models.interface import expected_graphs
from carve_models.manifest import Manifest, Profile, read_manifest, write_manifest
from carve_models.settings import All
from carve_runtime.bundle import Bundle

#: What a bundle may compute in, by the type of the decoder's cache.
_DTYPES: Mapping[ir.DataType | None, Dtype] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.FLOAT16: "float16",
}
_IN_PLACE = "GroupQueryAttention"
_OLDEST_OPSET = 13  # axes became inputs of the operators that are added

OnStage = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class AdoptOptions:
    """How to make a bundle of a folder.

    Attributes:
        dtypes: of the graphs, see :func:`carve_export.adopt.find.parse_dtypes`.
        profile: ``ort``: the decoder appends to its cache in place, as its operator must allow;
            ``portable``: it returns a longer one. By its operators if ``None``.
        layers: decoder layers whose attention is returned; the family's rule if ``None``.
        max_pixels: most pixels that the model sees of an image; the family's choice if ``None``.
        prompts: replaced texts of the family's prompt layout.
        defaults: default settings of the bundle that differ from the method's.
        family: ``FILE.py:NAME`` of a family that is declared outside the package.
        unchecked: do not run the graphs.
        overwrite: replace a bundle that is already there.
    """

    dtypes: tuple[str, ...] = ()
    profile: Profile | None = None
    layers: tuple[int, ...] | All | None = None
    max_pixels: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None
    unchecked: bool = False
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class AdoptReport:
    """What was written.

    Attributes:
        folder: the bundle.
        manifest: of it.
        tap: what was added to the decoder.
        changes: at the inputs and outputs of each graph.
        differences: between runs, empty if they were left out.
    """

    folder: Path
    manifest: Manifest
    tap: TapReport
    changes: Mapping[str, list[str]]
    differences: list[Difference]


def adopt_folder(
    folder: Path,
    out: Path,
    options: AdoptOptions,
    *,
    on_stage: OnStage = lambda stage: None,
) -> AdoptReport:
    """Make a bundle of a folder as transformers.js reads it.

    Graphs and weights are the folder's. The decoder gets an output more, and the others' inputs and
    outputs become a bundle's.

    Args:
        folder: configurations, tokenizer and, in ``onnx``, the three graphs.
        out: the bundle's folder.
        options: see :class:`AdoptOptions`.
        on_stage: called with the name of each stage when it begins.

    Raises:
        CheckpointError: configurations that cannot be read or expressed.
        FamilyError: the model's family is not declared.
        ExportError: files that are missing or cannot be used; or ``out`` is not free, or is
            ``folder``.
        ParityError: the bundle's graphs do not return what the folder's do.
        SettingsError: options that do not fit the model or each other.
    """
    dtypes = parse_dtypes(options.dtypes)
    require_folder(folder)
    require_apart(out, folder, "the folder to adopt")
    with claim(out, overwrite=options.overwrite) as claimed:
        graphs = find_graphs(folder, dtypes)
        report = _adopt(folder, graphs, claimed, options, on_stage)
        lowered = {name: dtype for name, dtype in dtypes.items() if dtype != EXACT}
        manifest = replace(report.manifest, lowered=lowered)
        on_stage("write the bundle")
        write_manifest(claimed.folder, manifest)
        claimed.publish(read_manifest)
    return replace(report, folder=out, manifest=manifest)


def _adopt(
    source: Path,
    graphs: Mapping[str, Path],
    claimed: Claim,
    options: AdoptOptions,
    on_stage: OnStage,
) -> AdoptReport:
    """Write all of the bundle but its manifest."""
    folder = claimed.folder
    on_stage("read the folder")
    models = {name: _read(path) for name, path in graphs.items()}
    decoder = models.pop(names.DECODER)
    checkpoint = load_description(str(source), options.family, dtype=_cache_dtype(decoder))
    manifest = _describe(checkpoint, folder, options, decoder.opset_imports[""])
    on_stage("tap the decoder")
    models[names.DECODER], tap = _tap(decoder, graphs[names.DECODER], manifest, options)
    del decoder  # its weights are in memory, where they are in the same file
    manifest = replace(manifest, profile=options.profile or _profile(tap))
    specs, changes = expected_graphs(manifest), {}
    for name in COMPONENTS:
        on_stage(f"fit the {name}")
        changes[name] = fit_graph(models[name], name, specs[name])
        place = folder / names.graph_file(name)
        place.parent.mkdir(exist_ok=True)
        save_model(models.pop(name), place)
    on_stage("write the steps around the model")
    write_step_graphs(folder, manifest.image, manifest.decoder.positions)
    on_stage("hash the files")
    manifest = complete(manifest, folder)
    differences = []
    if not options.unchecked:
        on_stage("compare with the folder's graphs")
        differences = _compare(graphs, Bundle(folder, manifest))
    return AdoptReport(
        folder=folder, manifest=manifest, tap=tap, changes=changes, differences=differences
    )


def _read(path: Path) -> ir.Model:
    model = read_graph(path)
    opset = model.opset_imports.get("", 0)
    if opset < _OLDEST_OPSET:
        raise ExportError(
            f"{path} is written in operator set {opset}",
            f"export it with operator set {_OLDEST_OPSET} or later",
        )
    return model


def _cache_dtype(decoder: ir.Model) -> Dtype:
    """Return what a decoder computes in."""
    first = names.past_names([0])[0]
    found = {value.dtype for value in decoder.graph.inputs if value.name == first}
    if not found <= set(_DTYPES) or not found:
        kinds = ", ".join(map(str, found))
        raise ExportError(
            f"the {names.DECODER} has " + (f"a cache of {kinds}" if kinds else f"no input {first}"),
            "give one with a cache in float32 or float16",
        )
    return _DTYPES[found.pop()]


def _describe(checkpoint: Checkpoint, folder: Path, options: AdoptOptions, opset: int) -> Manifest:
    """Write the small files, and return the manifest of a decoder in one piece."""
    described = ExportOptions(
        opset=opset,
        dtype=checkpoint.dtype,
        layers=options.layers,
        max_pixels=options.max_pixels,
        prompts=options.prompts,
        defaults=options.defaults,
    )
    manifest = describe(checkpoint, folder, described)
    return replace(manifest, decoder=replace(manifest.decoder, exit_layers=None))


def _tap(
    decoder: ir.Model, path: Path, manifest: Manifest, options: AdoptOptions
) -> tuple[ir.Model, TapReport]:
    tapping = TapOptions(layers=manifest.decoder.tapped_layers, unchecked=options.unchecked)
    tapped, report = tap_graph(decoder, path, Path(path.name), tapping)
    model = ir.from_proto(tapped)
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model, report


def _profile(tap: TapReport) -> Profile:
    """Return how the cache grows: in place where all layers attend with the operator that can."""
    return "ort" if set(tap.operators) == {_IN_PLACE} else "portable"


def _compare(graphs: Mapping[str, Path], bundle: Bundle) -> list[Difference]:
    """Run all graphs as they were and as they are."""
    manifest = bundle.manifest
    specs, found = expected_graphs(manifest), []
    for name, before in graphs.items():
        after = bundle.path(names.graph_file(name))
        nodes = onnx.load(after, load_external_data=False).graph.node
        allowed = allowed_error({node.op_type for node in nodes}, manifest.dtype)
        found += compare_graph(name, before, after, specs[name], allowed)
        if name == names.DECODER:
            found += compare_over_cache(bundle, allowed)
    return found
