"""Write a bundle in lower precision, and measure on calibration images what that costs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import TypeAlias

import onnx

from carve_export.onnx_files import drop_written, save_model
from carve_export.precision import (
    Component,
    lower,
    lower_decoder,
    parse_precisions,
    require_calibration,
    require_lowerable,
)
from carve_export.precision.agreement import ask_all, measure_quality
from carve_export.precision.calibration import (
    Feeds,
    read_entries,
    record,
    record_prompts,
)
from carve_export.precision.half import emulate
from carve_export.publish.claim import Claim, claim
from carve_export.publish.folders import file_entries
from carve_export.publish.place import require_apart
from carve_export.trace.split import split_decoder
from carve_models import names
from carve_models.errors import BundleError
from carve_models.manifest import Manifest, read_manifest, write_manifest
from carve_runtime.bundle import Bundle, open_bundle

#: Returns what replaces a graph, ``None`` if it stays, given its name, the graph without what lies
#: beside it, and the folder of its weights, where new ones may be written
#: (:func:`carve_export.onnx_files.write_weight`).
Change: TypeAlias = "Callable[[str, onnx.ModelProto, Path], onnx.ModelProto | None]"


@dataclass(frozen=True, kw_only=True)
class LowerOptions:
    """How to lower.

    Attributes:
        precisions: see :func:`carve_export.precision.parse_precisions`.
        calibration: JSON list of :class:`~carve_export.precision.calibration.Entry`, images beside
            it; may be ``None`` where nothing is measured and weights are rounded by themselves.
        unchecked: do not ask the questions, for models that a machine cannot run in full: what is
            calibrated sees the questions' prompts alone, and nothing is measured.
        overwrite: replace a bundle that is already there.
    """

    precisions: tuple[str, ...]
    calibration: Path | None
    unchecked: bool = False
    overwrite: bool = False


def lower_bundle(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: LowerOptions,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Manifest:
    """Write a bundle in lower precision and measure it; it appears complete or not at all.

    Args:
        source: a bundle in float32 or float16.
        out: the new bundle's folder.
        options: see :class:`LowerOptions`.
        on_stage: called with the name of each stage when it begins.

    Raises:
        BundleError: the source cannot be used, or is in lower precision already.
        SettingsError: an unknown precision, one that the bundle does not allow, or a calibration
            file that is missing or cannot be used.
        ExportError: ``out`` is already there, is the source, is written to by another export, or
            cannot be written; or a weight is too large.
    """
    bundle, target = open_bundle(source), Path(out)
    require_apart(target, bundle.folder, "the bundle to lower")
    with claim(target, overwrite=options.overwrite) as claimed:
        return lower_into(claimed, bundle, options, on_stage=on_stage)


def lower_into(
    claimed: Claim, bundle: Bundle, options: LowerOptions, *, on_stage: Callable[[str], None]
) -> Manifest:
    """Write a bundle in lower precision as :func:`lower_bundle` does, where that is claimed."""
    chosen = parse_precisions(options.precisions)
    if bundle.manifest.precisions:
        raise BundleError(
            f"{bundle.folder} is in lower precision already", "start from the bundle it was made of"
        )
    manifest = bundle.manifest
    require_lowerable(chosen, manifest.profile, manifest.weights, manifest.dtype)
    given = options.calibration is not None
    require_calibration(chosen, given=given, measured=not options.unchecked)
    entries, images = [], Path()
    if options.calibration is not None:
        entries, images = read_entries(options.calibration), options.calibration.parent

    @cache
    def recorded() -> dict[str, Feeds]:
        on_stage("record the inputs of the graphs")
        return (record_prompts if options.unchecked else record)(bundle, entries, images)

    def lower_graph(name: str, model: onnx.ModelProto, weights: Path) -> onnx.ModelProto | None:
        parts: list[Component] = [name]  # type: ignore[list-item]
        if name == names.DECODER:
            parts = ["decoder", "lm_head"]
        if {chosen[part] for part in parts} == {"fp32"}:
            return None
        on_stage(f"lower {name}")
        if name == names.DECODER:
            body, head = (chosen[part] for part in parts)
            return lower_decoder(model, body, head, lambda: recorded()[name], weights)
        return lower(model, chosen[parts[0]], lambda: recorded()[name], weights)

    lowered = rewrite(bundle, claimed.folder, lower_graph)
    quality = None
    changed: dict[str, str] = {
        part: precision for part, precision in chosen.items() if precision != "fp32"
    }
    if not options.unchecked:
        on_stage(f"ask {len(entries)} questions twice")
        with measurable(lowered, chosen.values()) as measured:
            quality = measure_quality(
                ask_all(bundle, entries, images),
                ask_all(measured, entries, images),
                changed,
                relative_size(lowered, bundle),
            )
    manifest = replace(lowered.manifest, lowered=changed, quality=quality)
    write_manifest(claimed.folder, manifest)
    claimed.publish(read_manifest)
    return manifest


def rewrite(
    bundle: Bundle,
    folder: Path,
    change: Callable[[str, onnx.ModelProto, Path], onnx.ModelProto | None],
) -> Bundle:
    """Copy a bundle with changed graphs into a folder that exists, and split the decoder again.

    Args:
        bundle: the bundle.
        folder: of the copy, without a manifest.
        change: called for the whole decoder alone, not for its halves.
    """
    copytree(bundle.folder, folder, dirs_exist_ok=True, ignore=_only(bundle))
    for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER):
        path = folder / names.graph_file(name)
        changed = change(name, onnx.load(path, load_external_data=False), path.parent)
        if changed is not None:
            save_model(changed, path)
            drop_written(path.parent)
    split_decoder(folder, bundle.manifest.decoder, bundle.manifest.dtype)
    return Bundle(folder, replace(bundle.manifest, files=file_entries(folder)))


@contextmanager
def measurable(bundle: Bundle, precisions: Collection[str]) -> Iterator[Bundle]:
    """Yield a bundle that computes on this machine what the given one does: bfloat16 is emulated.

    Args:
        bundle: in lower precision.
        precisions: of its components.
    """
    if "bf16" not in precisions:
        yield bundle
        return
    with TemporaryDirectory() as work:
        yield rewrite(bundle, Path(work), _emulated)


def _emulated(name: str, model: onnx.ModelProto, weights: Path) -> onnx.ModelProto:
    del name, weights
    emulate(model, "bf16")
    return model


def relative_size(lowered: Bundle, baseline: Bundle) -> float:
    """Return the bytes of a bundle's graphs, with their weights, relative to another bundle's."""
    return _graph_bytes(lowered.manifest) / _graph_bytes(baseline.manifest)


def _graph_bytes(manifest: Manifest) -> int:
    return sum(entry.size for name, entry in manifest.files.items() if name.startswith("onnx/"))


def _only(bundle: Bundle) -> Callable[[str, list[str]], list[str]]:
    """Return what to leave out of a copy: everything that the manifest does not list."""
    listed = {bundle.folder / name for name in bundle.manifest.files}
    kept = listed | {parent for path in listed for parent in path.parents}
    return lambda folder, entries: [name for name in entries if Path(folder, name) not in kept]
