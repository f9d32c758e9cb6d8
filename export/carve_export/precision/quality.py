"""What lower precision costs, measured on calibration images; and the bundle that results."""

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
        on_stage: is told what is being done.

    Raises:
        BundleError: the source cannot be used, or is not in float32.
        SettingsError: an unknown precision, one that the profile does not allow, or a calibration
            file that cannot be used.
        ExportError: ``out`` is already there, or is the source; or a weight does not fit.
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
        on_stage("record what the graphs are fed with")
        return record(bundle, entries, images)

    def fed(name: str) -> FeedSource:
        return lambda: recorded()[name]

    def changed(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
        on_stage(f"lower {name}")
        if name == names.DECODER:
            return lower_decoder(model, chosen["decoder"], chosen["lm_head"], fed(name))
        return lower(model, chosen[name], fed(name))  # type: ignore[index]

    with staging(target) as folder:
        made = rewrite(bundle, folder, changed)
        on_stage(f"ask {len(entries)} questions twice")
        with measurable(made, chosen.values()) as found:
            quality = measure_quality(
                ask_all(bundle, entries, images),
                ask_all(found, entries, images),
                {part: one for part, one in chosen.items() if one != "fp32"},
                relative_size(made, bundle),
            )
        manifest = replace(made.manifest, quality=quality)
        write_manifest(folder, manifest)
        publish(folder, target, names.MANIFEST_FILE, listed(target, read_manifest))
    return manifest


def rewrite(
    bundle: Bundle, folder: Path, change: Callable[[str, onnx.ModelProto], onnx.ModelProto]
) -> Bundle:
    """Copy a bundle with other graphs into a folder that exists; the decoder's halves follow.

    Args:
        bundle: the bundle.
        folder: of the copy, without a manifest.
        change: returns what replaces a graph, by its name; the whole decoder's, not the halves'.
    """
    copytree(bundle.folder, folder, dirs_exist_ok=True, ignore=_only(bundle))
    for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER):
        path = folder / names.graph_file(name)
        save_model(change(name, onnx.load(path)), path)
    split_decoder(folder, bundle.manifest.decoder)
    return Bundle(folder, replace(bundle.manifest, files=file_entries(folder)))


@contextmanager
def measurable(made: Bundle, precisions: Collection[str]) -> Iterator[Bundle]:
    """A bundle that computes here what another one does: bfloat16 is emulated.

    Args:
        made: the bundle.
        precisions: of its components.
    """
    if "bf16" not in precisions:
        yield made
        return
    with TemporaryDirectory() as work:
        yield rewrite(made, Path(work), _emulated)


def _emulated(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
    del name
    emulate(model, "bf16")
    return model


def relative_size(made: Bundle, usual: Bundle) -> float:
    """Return the bytes of a bundle's graphs, weights beside them included, relative to another."""
    return _graph_bytes(made.manifest) / _graph_bytes(usual.manifest)


def _graph_bytes(manifest: Manifest) -> int:
    return sum(entry.size for name, entry in manifest.files.items() if name.startswith("onnx/"))


def _only(bundle: Bundle) -> Callable[[str, list[str]], list[str]]:
    """Return what to leave out of a copy: everything that the manifest does not list."""
    listed = {bundle.folder / name for name in bundle.manifest.files}
    kept = listed | {parent for path in listed for parent in path.parents}
    return lambda folder, found: [name for name in found if Path(folder, name) not in kept]
