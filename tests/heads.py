"""A bundle of another that lacks the heads: what an export with them gives, at half its time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from carve_export.checkpoint.load import load_checkpoint
from carve_export.publish.folders import file_entries
from carve_export.trace.decoder import traceable_decoder
from carve_export.trace.graph import graph_entry, trace_graph
from carve_export.trace.split import split_decoder
from carve_models.manifest import read_manifest, write_manifest
from carve_models.names import MANIFEST_FILE


def with_heads(source: Path, checkpoint: Path, folder: Path) -> Path:
    """Copy a bundle and trace its decoder again, with the attention of every head."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("checkpoint"))
    manifest = read_manifest(folder)
    (folder / MANIFEST_FILE).unlink()
    spec = replace(manifest.decoder, attention="heads")
    loaded = load_checkpoint(str(checkpoint), dtype=manifest.dtype)
    decoder = traceable_decoder(loaded, spec, manifest.profile, spec.parts)
    trace_graph(decoder, folder, opset=manifest.opset)
    split_decoder(folder, spec, manifest.dtype)
    graphs = {name: graph_entry(folder, name) for name in manifest.graphs}
    files = file_entries(folder)
    write_manifest(folder, replace(manifest, decoder=spec, graphs=graphs, files=files))
    return folder
