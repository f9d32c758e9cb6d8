"""Describe a bundle to a person, or as JSON."""

from __future__ import annotations

import msgspec

from carve_models import names
from carve_models.manifest import Quality, Segment
from carve_models.settings import Settings
from carve_runtime.bundle import Bundle


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
        ("profile", f"{manifest.profile}, opset {manifest.opset}, weights {manifest.weights}"),
        *_spell_quality(manifest.quality),
        ("image", f"{image.describe()}, {image.resample}"),
        (
            "decoder",
            f"{decoder.layers} layers, {decoder.attention_heads} heads, "
            f"{decoder.key_value_heads} key/value heads of {decoder.head_dim}",
        ),
        ("context", f"{decoder.context_length} positions"),
        ("tapped", f"layers {', '.join(map(str, decoder.tapped_layers))}"),
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


def _spell_quality(quality: Quality | None) -> list[tuple[str, str]]:
    """Return a row for a bundle in lower precision."""
    if quality is None:
        return []
    parts = ", ".join(f"{part} {one}" for part, one in quality.precision.items())
    agreement = f"{quality.answer_agreement:.1%} of {quality.questions} answers as in float32"
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
    given = {name: value for name, value in vars(settings).items() if value is not None}
    given["layers"] = "+".join(map(str, settings.layers))
    return ", ".join(f"{name} {value}" for name, value in given.items())
