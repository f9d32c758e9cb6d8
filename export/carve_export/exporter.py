"""Checkpoint in, bundle out: trace, check, write; complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from carve_export.check.parity import Comparison, compare_outputs, require_parity
from carve_export.check.reference import Reference, references
from carve_export.checkpoint.load import Checkpoint, load_checkpoint
from carve_export.describe import complete, describe
from carve_export.options import ExportOptions
from carve_export.precision.calibration import read_entries
from carve_export.precision.quality import LowerOptions, lower_into
from carve_export.publish.claim import Claim, claim
from carve_export.steps.graphs import write_step_graphs
from carve_export.trace.decoder import traceable_decoder, traceable_embed
from carve_export.trace.graph import trace_graph
from carve_export.trace.split import split_decoder
from carve_export.trace.vision import traceable_vision
from carve_models.manifest import Manifest, read_manifest, write_manifest
from carve_models.names import TOKENIZER_FILE
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.prompt.text import Text


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
        options: see :class:`~carve_export.options.ExportOptions`.
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
    manifest = describe(checkpoint, folder, options)
    text = Text(folder / TOKENIZER_FILE, manifest.decoder.control_ids)
    expected = []
    if not options.unchecked:
        on_stage("run PyTorch for reference")
        expected = references(checkpoint, manifest, text)
    _trace(checkpoint, manifest, folder, on_stage)
    on_stage("hash the files")
    return complete(manifest, folder), expected


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
