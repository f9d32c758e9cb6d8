"""The manifest of a checkpoint's bundle, and the small files that belong to it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

from carve_export.checkpoint.companions import write_companions, write_processor
from carve_export.checkpoint.image_rules import image_rule, require_context
from carve_export.checkpoint.load import Checkpoint, decoder_spec
from carve_export.checkpoint.prompts import change_layout, literal_ids, resolve_prompts
from carve_export.checkpoint.video_rule import video_rule
from carve_export.options import ExportOptions
from carve_export.publish.folders import file_entries
from carve_export.trace.graph import graph_entry
from carve_models.errors import SettingsError
from carve_models.interface import require_interface
from carve_models.manifest import DecoderSpec, Manifest
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
from carve_models.settings import ALL, Settings
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


def describe(checkpoint: Checkpoint, folder: Path, options: ExportOptions) -> Manifest:
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


def complete(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest with its graphs and files listed."""
    graphs = {
        name: graph_entry(folder, name) for name in _GRAPHS if (folder / graph_file(name)).is_file()
    }
    listed = replace(manifest, graphs=graphs, files=file_entries(folder))
    require_interface(listed)
    return listed


def _source_name(source: str) -> str:
    """Return a hub id as it is, and only the name of a folder."""
    return Path(source).resolve().name if Path(source).exists() else source


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
