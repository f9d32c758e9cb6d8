"""Compare a bundle again with the checkpoint that it was made from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carve_export.check.parity import Comparison, compare_outputs
from carve_export.check.reference import references
from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_models.errors import CheckpointError
from carve_models.manifest import DecoderSpec
from carve_models.names import TOKENIZER_FILE
from carve_runtime.bundle import open_bundle
from carve_runtime.images.load import load_image
from carve_runtime.prompt.text import Text


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """How to compare.

    Attributes:
        image: an image file; a made-up image if ``None``.
        family: ``FILE.py:NAME`` of a family that is declared outside the package.
        margin: how many times PyTorch's own rounding the bundle's error may be; that of the dtype
            in :data:`carve_export.check.MARGINS` if ``None``.
    """

    image: Path | None = None
    family: str | None = None
    margin: float | None = None


def verify_bundle(
    folder: str | os.PathLike[str],
    source: str,
    options: VerifyOptions | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> list[Comparison]:
    """Run a bundle and its checkpoint on the same prompts.

    Args:
        folder: the bundle's folder.
        source: the Hugging Face checkpoint's folder or hub id.
        options: see :class:`VerifyOptions`.
        on_stage: called with the name of each stage when it begins.

    Raises:
        BundleError: the bundle cannot be read.
        CheckpointError: the checkpoint cannot be read, or the bundle is not made from it.
        ImageError: the image cannot be read.
    """
    options = options or VerifyOptions()
    on_stage("read the bundle")
    bundle = open_bundle(folder)
    pixels = None
    if options.image is not None:
        ratio = bundle.manifest.image.max_aspect_ratio
        pixels = load_image(options.image, max_aspect_ratio=ratio)
    on_stage("load the checkpoint")
    checkpoint = load_checkpoint(
        source,
        options.family,
        weights=bundle.manifest.weights,
        dtype=bundle.manifest.dtype,
    )
    spec = bundle.manifest.decoder
    if _facts(decoder_spec(checkpoint, layers=None)) != _facts(spec):
        raise CheckpointError(
            f"{folder} was not made from {source}: the decoder's facts differ",
            "give the checkpoint that it was exported from",
        )
    text = Text(bundle.path(TOKENIZER_FILE), spec.control_ids)
    on_stage("run PyTorch for reference")
    expected = references(checkpoint, bundle.manifest, text, pixels)
    on_stage("run the bundle")
    return compare_outputs(bundle, expected, options.margin)


def _facts(spec: DecoderSpec) -> dict[str, Any]:
    """Return what follows from the checkpoint alone."""
    chosen = {"tapped_layers", "attention", "exit_layers"}
    return {name: value for name, value in vars(spec).items() if name not in chosen}
