"""What is measured: write a checkpoint, export it, answer from the bundle."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.research.real_size.models import MODELS

PICTURE = Path(__file__).parents[3] / "models" / "pocket" / "example.jpg"


def make(name: str, folder: Path, depth: int | None) -> dict[str, Any]:
    """Write the checkpoint, unless it is there."""
    from tools.shared.models.random_checkpoint import write_checkpoint

    if not (folder / "model.safetensors.index.json").is_file():
        write_checkpoint(MODELS[name], folder, depth)
    return {"bytes": _size(folder)}


def export(checkpoint: Path, out: Path, unchecked: bool) -> dict[str, Any]:
    """Export with matrices as they are."""
    from carve_export import ExportOptions, export_bundle

    stages: list[tuple[str, float]] = []
    report = export_bundle(
        str(checkpoint),
        out,
        ExportOptions(weights="float16", unchecked=unchecked, overwrite=True),
        on_stage=lambda stage: stages.append((stage, time.perf_counter())),
    )
    ends = [start for _, start in stages[1:]] + [time.perf_counter()]
    return {
        "bytes": _size(out),
        "seconds": {stage: end - at for (stage, at), end in zip(stages, ends, strict=True)},
        "differences": [asdict(row) | {"passed": row.passed} for row in report.comparisons],
    }


def answer(bundle: Path) -> dict[str, Any]:
    """Answer once through CARVE, two tokens a pass."""
    from carve_runtime import Carve

    result = Carve.load(bundle).ask(PICTURE, "What is this?", max_new_tokens=2)
    return {
        "grid": result.grid,
        "seconds": result.timings,
        "kept": float(result.mask.mean()),
        "counts": asdict(result.counts),
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
