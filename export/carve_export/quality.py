"""What lower precision costs, measured on calibration images; and the bundle that results."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from carve_export.calibration import Entry, Feeds, FeedSource, read_entries, record
from carve_export.half import emulate
from carve_export.onnx_files import save_model
from carve_export.precision import (
    Component,
    Precision,
    lower,
    lower_decoder,
    parse_precisions,
    require_lowerable,
)
from carve_export.split import split_decoder
from carve_export.staging import file_entries, publish, require_free, staging
from carve_models import names
from carve_models.errors import BundleError
from carve_models.manifest import Manifest, Quality, read_manifest, write_manifest
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.carve import Carve
from carve_runtime.result import CarveResult


def lower_bundle(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    precisions: tuple[str, ...],
    calibration: Path,
    *,
    overwrite: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Manifest:
    """Write a bundle in lower precision and measure it; it appears complete or not at all.

    Args:
        source: a bundle in float32.
        out: the new bundle's folder.
        precisions: see :func:`carve_export.precision.parse_precisions`.
        calibration: JSON list of ``{"image": ..., "question": ...}``, images beside it.
        overwrite: replace a bundle that is already there.
        on_stage: is told what is being done.

    Raises:
        BundleError: the source cannot be used, or is not in float32.
        SettingsError: an unknown precision, or one that the profile does not allow.
        ExportError: ``out`` is already there, or a weight does not fit.
    """
    bundle, target = open_bundle(source), Path(out)
    require_free(target, overwrite=overwrite)
    chosen = parse_precisions(precisions)
    if bundle.manifest.quality is not None:
        raise BundleError(f"{bundle.folder} is not in float32", "start from the bundle that is")
    require_lowerable(chosen, bundle.manifest.profile, bundle.manifest.weights)
    entries = read_entries(calibration)

    @cache
    def recorded() -> dict[str, Feeds]:
        on_stage("record what the graphs are fed with")
        return record(bundle, entries, calibration.parent)

    def fed(name: str) -> FeedSource:
        return lambda: recorded()[name]

    with staging(target) as folder:
        copytree(bundle.folder, folder, dirs_exist_ok=True, ignore=_only(bundle))
        for name in (names.VISION_ENCODER, names.EMBED_TOKENS):
            on_stage(f"lower {name}")
            path = folder / names.graph_file(name)
            if (one := chosen[name]) != "fp32":  # type: ignore[index]
                save_model(lower(onnx.load(path), one, fed(name)), path)
        on_stage("lower the decoder")
        path = folder / names.graph_file(names.DECODER)
        body, head = chosen["decoder"], chosen["lm_head"]
        save_model(lower_decoder(onnx.load(path), body, head, fed(names.DECODER)), path)
        split_decoder(folder, bundle.manifest.decoder)
        made = replace(bundle.manifest, files=file_entries(folder))
        on_stage(f"ask {len(entries)} questions twice")
        with measurable(Bundle(folder, made), chosen.values()) as found:
            quality = measure(bundle, found, entries, calibration.parent, chosen)
        manifest = replace(made, quality=quality)
        write_manifest(folder, manifest)
        publish(folder, target, names.MANIFEST_FILE, _listed(target))
    return manifest


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
        folder = Path(copytree(made.folder, Path(work) / "emulated"))
        for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER):
            path = folder / names.graph_file(name)
            model = onnx.load(path)
            emulate(model, "bf16")
            save_model(model, path)
        split_decoder(folder, made.manifest.decoder)
        yield Bundle(folder, replace(made.manifest, files=file_entries(folder)))


def measure(
    usual: Bundle,
    made: Bundle,
    entries: Sequence[Entry],
    folder: Path,
    chosen: dict[Component, Precision],
) -> Quality:
    """Ask both bundles the same questions with their default settings, and compare."""
    pairs: list[tuple[CarveResult, CarveResult]] = []
    wanted, found = Carve(usual), Carve(made)
    for entry in entries:
        image = folder / entry.image
        pairs.append((wanted.ask(image, entry.question), found.ask(image, entry.question)))
    overlaps = [_overlap(one.mask, other.mask) for one, other in pairs]
    return Quality(
        precision={part: one for part, one in chosen.items() if one != "fp32"},
        questions=len(pairs),
        plain_agreement=float(np.mean([a.plain_answer == b.plain_answer for a, b in pairs])),
        answer_agreement=float(np.mean([a.answer == b.answer for a, b in pairs])),
        mask_overlap=float(np.mean(overlaps)),
        least_mask_overlap=float(np.min(overlaps)),
        size=_graph_bytes(made.manifest) / _graph_bytes(usual.manifest),
    )


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def _graph_bytes(manifest: Manifest) -> int:
    """Return the bytes of the graphs and of the weights beside them."""
    return sum(entry.size for name, entry in manifest.files.items() if name.startswith("onnx/"))


def _only(bundle: Bundle) -> Callable[[str, list[str]], list[str]]:
    """Return what to leave out of a copy: everything that the manifest does not list."""
    listed = {bundle.folder / name for name in bundle.manifest.files}
    kept = listed | {parent for path in listed for parent in path.parents}
    return lambda folder, found: [name for name in found if Path(folder, name) not in kept]


def _listed(target: Path) -> list[str]:
    try:
        return list(read_manifest(target).files)
    except BundleError:
        return []
