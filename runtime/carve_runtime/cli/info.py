"""``carve-run info``: describe a bundle to a person, or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
import msgspec

from carve_models import names
from carve_models.cli import HELP, ErrorCommand
from carve_models.manifest import Manifest
from carve_models.prompts.segment import Segment
from carve_models.settings import Settings
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    bundle_folder,
)
from carve_runtime.memory import memory_budget, spell_budget


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="\b\nExamples:\n  carve-run info default\n  carve-run info default --memory",
)
@BUNDLE_ARGUMENT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@REVISION_OPTION
@VERIFY_OPTION
@click.option("--memory", "memory", is_flag=True, help="Print the memory that it needs instead.")
def info(
    bundle: str, as_json: bool, revision: str | None, verify: bool | None, memory: bool
) -> None:
    """Print what BUNDLE is: family, graphs, image rule, prompts, default settings."""
    opened = open_bundle(bundle_folder(bundle, revision), verify=verify)
    if not memory:
        click.echo(describe(opened, as_json=as_json))
        return
    budget = memory_budget(opened.manifest)
    click.echo(json.dumps(budget, indent=2) if as_json else spell_budget(budget))


def describe(bundle: Bundle, *, as_json: bool = False) -> str:
    """Return a table of what a bundle is, or its manifest as JSON."""
    manifest = bundle.manifest
    if as_json:
        return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
    image, decoder = manifest.image, manifest.decoder
    megabytes = sum(entry.size for entry in manifest.files.values()) / 1e6
    rows = [
        ("bundle", f"{bundle.folder} ({megabytes:.1f} MB)"),
        ("family", manifest.family),
        ("source", manifest.source),
        ("profile", f"{manifest.profile}, opset {manifest.opset}, {_spell_types(manifest)}"),
        *_spell_quality(manifest),
        ("image", f"{image.describe()}, {image.resample}"),
        (
            "decoder",
            f"{decoder.layers} layers, {decoder.attention_heads} heads, "
            f"{decoder.key_value_heads} key/value heads of {decoder.head_dim}",
        ),
        ("context", f"{decoder.context_length} positions"),
        ("tapped", decoder.tap),
        ("prompt", _spell(manifest.prompts.single)),
        ("pair", _spell(manifest.prompts.pair)),
        ("suffix", manifest.prompts.suffix or "(none)"),
        ("general", manifest.prompts.general),
        ("defaults", _spell_settings(manifest.defaults)),
        ("made with", ", ".join(f"{name} {v}" for name, v in manifest.versions.items())),
    ]
    cached = names.present_names(range(decoder.layers))
    rows += [
        (
            "graph",
            f"{name}: {', '.join(t.name for t in graph.inputs if '.' not in t.name)} -> "
            f"{', '.join(t.name for t in graph.outputs if t.name not in cached)}",
        )
        for name, graph in manifest.graphs.items()
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _spell_types(manifest: Manifest) -> str:
    """Return what a bundle computes in, or what it stores its matrices as."""
    if manifest.dtype != "float32":
        return f"dtype {manifest.dtype}"
    return f"weights {manifest.weights}"


def _spell_quality(manifest: Manifest) -> list[tuple[str, str]]:
    """Return a row for a bundle in lower precision."""
    quality = manifest.quality
    if not manifest.precisions:
        return []
    parts = ", ".join(f"{part} {precision}" for part, precision in manifest.precisions.items())
    if quality is None:
        return [("lowered", f"{parts}: not measured")]
    agreement = f"{quality.answer_agreement:.1%} of {quality.questions} answers as in its source"
    return [("lowered", f"{parts}: {agreement}")]


def _spell(segments: tuple[Segment, ...]) -> str:
    parts = []
    for segment in segments:
        if segment.image is not None:
            parts.append(f"<image {segment.image + 1}>")
        elif segment.text is not None:
            parts.append(repr(segment.text))
        elif segment.ids is not None:
            parts.append(str(list(segment.ids)))
    return " ".join(parts)


def _spell_settings(settings: Settings) -> str:
    given = {name: value for name, value in asdict(settings).items() if value is not None}
    given["layers"] = "+".join(map(str, settings.layers))
    return ", ".join(f"{name} {value}" for name, value in given.items())
