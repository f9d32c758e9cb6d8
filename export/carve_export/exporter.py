"""Checkpoint in, bundle out: trace, check, write; complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from carve_export.check.parity import Comparison, compare_outputs, require_parity
from carve_export.check.reference import Reference, references
from carve_export.checkpoint.companions import write_companions, write_processor
from carve_export.checkpoint.image_rules import image_rule, require_context
from carve_export.checkpoint.load import Checkpoint, decoder_spec, load_checkpoint
from carve_export.checkpoint.prompts import change_layout, literal_ids, resolve_prompts
from carve_export.checkpoint.video_rule import video_rule
from carve_export.precision import parse_precisions, require_calibration, require_lowerable
from carve_export.precision.calibration import read_entries
from carve_export.precision.quality import LowerOptions, lower_into
from carve_export.publish.claim import Claim, claim
from carve_export.publish.folders import file_entries
from carve_export.steps.graphs import write_step_graphs
from carve_export.trace.decoder import traceable_decoder, traceable_embed
from carve_export.trace.graph import graph_entry, trace_graph
from carve_export.trace.split import split_decoder
from carve_export.trace.vision import traceable_vision
from carve_models.errors import SettingsError
from carve_models.graph_spec import Dtype
from carve_models.interface import require_interface
from carve_models.manifest import (
    OPSETS,
    AttentionRows,
    DecoderSpec,
    Manifest,
    Profile,
    Weights,
    read_manifest,
    write_manifest,
)
from carve_models.names import (
    CARVE_REFINE,
    DECODER,
    DECODER_LOWER,
    DECODER_UPPER,
    EMBED_TOKENS,
    PREPROCESS,
    TOKENIZER_FILE,
    VISION_ENCODER,
    graph_file,
)
from carve_models.settings import ALL, All, Settings
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.prompt.text import Text

_GRAPHS = (
    VISION_ENCODER,
    EMBED_TOKENS,
    DECODER,
    DECODER_LOWER,
    DECODER_UPPER,
    PREPROCESS,
    CARVE_REFINE,
)
_MADE_WITH = ("carve-vlm", "torch", "transformers", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export.

    Attributes:
        profile: ``ort`` uses ONNX Runtime's fused attention, ``portable`` standard operators.
        opset: ONNX operator set.
        dtype: what the bundle computes in, and the checkpoint is held in.
        weights: what matrices are stored as, where the dtype is float32.
        layers: decoder layers whose attention the graph returns; the family's rule if ``None``.
            With "all" that rule is the default setting.
        attention: whether their rows are means over heads, or each head's.
        max_pixels: most pixels that the model sees of an image; the family's choice if ``None``.
        prompts: replaced texts of the family's prompt layout.
        defaults: default settings of the bundle that differ from the method's.
        family: ``FILE.py:NAME`` of a family that is declared outside the package.
        margin: how many times PyTorch's own rounding the bundle's error may be; that of the dtype
            in :data:`carve_export.check.MARGINS` if ``None``.
        unchecked: do not compare with PyTorch now, nor measure lower precision, for models that a
            machine cannot run in full; ``carve-export verify`` can do the former later.
        precisions: of components that are lowered once the bundle was compared, see
            :func:`carve_export.precision.parse_precisions`.
        calibration: the questions that the lowered bundle is measured with, see
            :func:`carve_export.precision.calibration.read_entries`; goes with ``precisions``.
        overwrite: replace a bundle that is already there.
    """

    profile: Profile = "ort"
    opset: int = OPSETS[0]
    dtype: Dtype = "float32"
    weights: Weights = "float32"
    layers: tuple[int, ...] | All | None = None
    attention: AttentionRows = "mean"
    max_pixels: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None
    margin: float | None = None
    unchecked: bool = False
    precisions: tuple[str, ...] = ()
    calibration: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        chosen = parse_precisions(self.precisions) if self.precisions else {}
        if chosen:
            require_lowerable(chosen, self.profile, self.weights, self.dtype)
        given = self.calibration is not None
        require_calibration(chosen, given=given, measured=not self.unchecked)
        if self.dtype != "float32" and self.weights != "float32":
            raise SettingsError(
                f"the dtype is {self.dtype}, and weights are for a bundle that computes in float32",
                "give one of the two",
            )
        if self.dtype == "bfloat16" and not self.unchecked:
            raise SettingsError(
                "the runtime that compares a bundle with PyTorch cannot run bfloat16",
                "choose float16, or leave the comparison out with unchecked",
            )


@dataclass(frozen=True)
class ExportReport:
    """What was written and how close it is to PyTorch."""

    folder: Path
    manifest: Manifest
    comparisons: list[Comparison]


def export_bundle(
    source: str,
    out: str | os.PathLike[str],
    options: ExportOptions | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> ExportReport:
    """Export a checkpoint, compare the result with PyTorch, and only then show it at ``out``.

    The model's weights are in memory once.

    Args:
        source: a Hugging Face checkpoint's folder or hub id.
        out: the bundle's folder.
        options: see :class:`ExportOptions`.
        on_stage: called with the name of each stage when it begins.

    Raises:
        CheckpointError: the checkpoint cannot be read or exported exactly.
        FamilyError: its family is not declared.
        ParityError: the graphs do not reproduce the checkpoint.
        ExportError: ``out`` is already there, another export is writing to it, or it cannot be
            written.
        SettingsError: options that do not fit the checkpoint or each other.
    """
    options, target = options or ExportOptions(), Path(out)
    with claim(target, overwrite=options.overwrite) as claimed:
        report = (_lowered if options.precisions else _exact)(source, claimed, options, on_stage)
    return replace(report, folder=target)


def _exact(
    source: str, claimed: Claim, options: ExportOptions, on_stage: Callable[[str], None]
) -> ExportReport:
    """Export a bundle in the precision of its dtype."""
    folder = claimed.folder
    manifest, expected = _convert(source, folder, options, on_stage)
    comparisons = []
    if not options.unchecked:
        on_stage("compare with PyTorch")
        comparisons = compare_outputs(Bundle(folder, manifest), expected, options.margin)
        require_parity(comparisons)
    on_stage("write the bundle")
    write_manifest(folder, manifest)
    claimed.publish(read_manifest)
    return ExportReport(claimed.target, manifest, comparisons)


def _lowered(
    source: str, claimed: Claim, options: ExportOptions, on_stage: Callable[[str], None]
) -> ExportReport:
    """Export to a folder aside, then lower the bundle that was compared with PyTorch."""
    if options.calibration is not None:
        read_entries(options.calibration)  # refuse what cannot be asked before the long part
    exact = replace(options, precisions=(), calibration=None)
    report = export_bundle(source, claimed.scratch, exact, on_stage=on_stage)
    lower = LowerOptions(
        precisions=options.precisions,
        calibration=options.calibration,
        unchecked=options.unchecked,
    )
    manifest = lower_into(claimed, open_bundle(report.folder), lower, on_stage=on_stage)
    return replace(report, manifest=manifest)


def _convert(
    source: str, folder: Path, options: ExportOptions, on_stage: Callable[[str], None]
) -> tuple[Manifest, list[Reference]]:
    """Write everything but the manifest; the checkpoint is not kept in memory."""
    on_stage("load the checkpoint")
    checkpoint = load_checkpoint(
        source, options.family, weights=options.weights, dtype=options.dtype
    )
    manifest = _describe(checkpoint, folder, options)
    text = Text(folder / TOKENIZER_FILE, manifest.decoder.control_ids)
    expected = []
    if not options.unchecked:
        on_stage("run PyTorch for reference")
        expected = references(checkpoint, manifest, text)
    _trace(checkpoint, manifest, folder, on_stage)
    on_stage("hash the files")
    return _complete(manifest, folder), expected


def _describe(checkpoint: Checkpoint, folder: Path, options: ExportOptions) -> Manifest:
    """Write the small files and return the manifest, still without graphs and files."""
    write_companions(checkpoint, folder)
    spec, family = decoder_spec(checkpoint, options.layers), checkpoint.family
    text = Text(folder / TOKENIZER_FILE, spec.control_ids)
    layout = change_layout(family.prompts, dict(options.prompts))
    usual = family.layers.layers(spec.layers) if options.layers == ALL else spec.tapped_layers
    defaults = Settings(layers=usual).override(**options.defaults)
    exit_layers = _exit_layers(defaults.layers, spec)
    spec = replace(spec, attention=options.attention, exit_layers=exit_layers)
    missing = sorted(set(defaults.layers) - set(spec.tapped_layers))
    if missing:
        raise SettingsError(
            f"the default layer {missing[0]} is not among the exposed {list(spec.tapped_layers)}",
            "add it to --layers",
        )
    encode = partial(literal_ids, checkpoint.tokenizer, text)
    image = image_rule(checkpoint, encode, options.max_pixels)
    for pixels in (defaults.scout_pixels, defaults.final_pixels):
        if pixels is not None:
            image.within(pixels)
    require_context(image, spec)
    write_processor(checkpoint, image, folder)
    return Manifest(
        family=family.name,
        profile=options.profile,
        weights=options.weights,
        dtype=options.dtype,
        opset=options.opset,
        source=_source_name(checkpoint.source),
        graphs={},
        files={},
        image=image,
        prompts=resolve_prompts(checkpoint, text, layout),
        video=video_rule(checkpoint, image),
        decoder=spec,
        defaults=defaults,
        versions={name: metadata.version(name) for name in _MADE_WITH if _installed(name)},
    )


def _exit_layers(used: tuple[int, ...], spec: DecoderSpec) -> int | None:
    """Return where to split the decoder: above the deepest layer that is used by default.

    Layers that take features of the image stay together.
    """
    lower = max(max(used) + 1, spec.deepstack_layers)
    return lower if lower < spec.layers else None


def _trace(
    checkpoint: Checkpoint, manifest: Manifest, folder: Path, on_stage: Callable[[str], None]
) -> None:
    spec = manifest.decoder
    on_stage("trace the vision encoder")
    trace_graph(traceable_vision(checkpoint, manifest.image), folder, opset=manifest.opset)
    on_stage("trace the token embedding")
    trace_graph(traceable_embed(checkpoint), folder, opset=manifest.opset)
    on_stage("trace the decoder")
    decoder = traceable_decoder(checkpoint, spec, manifest.profile, spec.parts)
    trace_graph(decoder, folder, opset=manifest.opset)
    split_decoder(folder, spec, manifest.dtype)
    on_stage("write the steps around the model")
    write_step_graphs(folder, manifest.image, spec.positions)


def _complete(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest with its graphs and files listed."""
    graphs = {
        name: graph_entry(folder, name) for name in _GRAPHS if (folder / graph_file(name)).is_file()
    }
    complete = replace(manifest, graphs=graphs, files=file_entries(folder))
    require_interface(complete)
    return complete


def _source_name(source: str) -> str:
    """Return a hub id as it is, and only the name of a folder."""
    return Path(source).resolve().name if Path(source).exists() else source


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
