"""What is measured: write a checkpoint, export it, lower the bundle, answer from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from tools.research.real_size.models import MODELS

PICTURE = Path(__file__).parents[3] / "models" / "pocket" / "example.jpg"


class Stages:
    """Times of consecutive stages by their names.

    Args:
        clock: returns seconds, of the wall or of the processors.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._starts: list[tuple[str, float]] = []

    def begin(self, stage: str) -> None:
        """End the stage that runs, and begin another."""
        self._starts.append((stage, self._clock()))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each, the last one until now."""
        ends = [start for _, start in self._starts[1:]] + [self._clock()]
        return {stage: end - at for (stage, at), end in zip(self._starts, ends, strict=True)}


def make(name: str, folder: Path, depth: int | None) -> dict[str, Any]:
    """Write the checkpoint, unless it is there."""
    from tools.shared.models.random_checkpoint import write_checkpoint

    if not (folder / "model.safetensors.index.json").is_file():
        write_checkpoint(MODELS[name], folder, depth)
    return {"bytes": _size(folder)}


def export(checkpoint: Path, out: Path, unchecked: bool, dtype: str | None) -> dict[str, Any]:
    """Export in a dtype, or with matrices in float16 that are widened, computing in float32."""
    from carve_export import ExportOptions, export_bundle

    stages = Stages()
    precision: dict[str, Any] = {"weights": "float16"} if dtype is None else {"dtype": dtype}
    options = ExportOptions(**precision, unchecked=unchecked, overwrite=True)
    report = export_bundle(str(checkpoint), out, options, on_stage=stages.begin)
    return {
        "bytes": _size(out),
        "seconds": stages.seconds(),
        "differences": [asdict(row) | {"passed": row.passed} for row in report.comparisons],
    }


def lower(bundle: Path, out: Path, precision: str, questions: int) -> dict[str, Any]:
    """Lower a bundle with the prompts of questions about one picture, without asking them."""
    from carve_export.precision.quality import LowerOptions, lower_bundle

    entries = [
        {"image": str(PICTURE), "question": f"What is at place {place} of the picture?"}
        for place in range(questions)
    ]
    calibration = out.with_name("questions.json")
    calibration.write_bytes(msgspec.json.encode(entries))
    stages, processors = Stages(), Stages(time.process_time)

    def begin(stage: str) -> None:
        stages.begin(stage)
        processors.begin(stage)

    options = LowerOptions(
        precisions=(precision,), calibration=calibration, unchecked=True, overwrite=True
    )
    lower_bundle(bundle, out, options, on_stage=begin)
    seconds, cpu_seconds = stages.seconds(), processors.seconds()
    return {"bytes": _size(out), "seconds": seconds, "cpu_seconds": cpu_seconds}


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
