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

import onnx

from carve_export.onnx_files import save_model
from carve_export.precision import (
    lower,
    lower_decoder,
    parse_precisions,
    require_lowerable,
)
from carve_export.precision.agreement import ask_all, measure_quality
from carve_export.precision.calibration import Feeds, FeedSource, read_entries, record
from carve_export.precision.half import emulate
from carve_export.staging import file_entries, listed, publish, require_free, staging
from carve_export.trace.split import split_decoder
from carve_models import names
from carve_models.errors import BundleError, ExportError
from carve_models.manifest import Manifest, read_manifest, write_manifest
from carve_runtime.bundle import Bundle, open_bundle


@dataclass(frozen=True, kw_only=True)
class LowerOptions:
    """How to lower.

    Attributes:
        precisions: see :func:`carve_export.precision.parse_precisions`.
        calibration: JSON list of :class:`~carve_export.precision.calibration.Entry`, images beside
            it.
        overwrite: replace a bundle that is already there.
    """

    precisions: tuple[str, ...]
    calibration: Path
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
        source: a bundle in float32.
        out: the new bundle's folder.
        options: see :class:`LowerOptions`.
        on_stage: called with the name of each stage when it begins.

    Raises:
        BundleError: the source cannot be used, or is not in float32.
        SettingsError: an unknown precision, one that the profile does not allow, or a calibration
            file that cannot be used.
        ExportError: ``out`` is already there, or is the source; or a weight is too large.
    """
    bundle, target = open_bundle(source), Path(out)
    require_free(target, overwrite=options.overwrite)
    if target.exists() and target.samefile(bundle.folder):
        raise ExportError(
            f"{target} is the bundle to lower", "choose another folder for the result"
        )
    chosen = parse_precisions(options.precisions)
    if bundle.manifest.quality is not None:
        raise BundleError(f"{bundle.folder} is not in float32", "start from the bundle that is")
    require_lowerable(chosen, bundle.manifest.profile, bundle.manifest.weights)
    entries, images = read_entries(options.calibration), options.calibration.parent

    @cache
    def recorded() -> dict[str, Feeds]:
        on_stage("record the inputs of the graphs")
        return record(bundle, entries, images)

    def feeds_of(name: str) -> FeedSource:
        return lambda: recorded()[name]

    def lower_graph(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
        on_stage(f"lower {name}")
        if name == names.DECODER:
            return lower_decoder(model, chosen["decoder"], chosen["lm_head"], feeds_of(name))
        return lower(model, chosen[name], feeds_of(name))  # type: ignore[index]

    with staging(target) as folder:
        lowered = rewrite(bundle, folder, lower_graph)
        on_stage(f"ask {len(entries)} questions twice")
        with measurable(lowered, chosen.values()) as measured:
            quality = measure_quality(
                ask_all(bundle, entries, images),
                ask_all(measured, entries, images),
                {part: precision for part, precision in chosen.items() if precision != "fp32"},
                relative_size(lowered, bundle),
            )
        manifest = replace(lowered.manifest, quality=quality)
        write_manifest(folder, manifest)
        publish(folder, target, names.MANIFEST_FILE, listed(target, read_manifest))
    return manifest


def rewrite(
    bundle: Bundle, folder: Path, change: Callable[[str, onnx.ModelProto], onnx.ModelProto]
) -> Bundle:
    """Copy a bundle with changed graphs into a folder that exists, and split the decoder again.

    Args:
        bundle: the bundle.
        folder: of the copy, without a manifest.
        change: returns what replaces a graph, given its name; called for the whole decoder alone,
            not for its halves.
    """
    copytree(bundle.folder, folder, dirs_exist_ok=True, ignore=_only(bundle))
    for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER):
        path = folder / names.graph_file(name)
        save_model(change(name, onnx.load(path)), path)
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


def _emulated(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
    del name
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
