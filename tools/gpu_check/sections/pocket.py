"""Pocket's answers and masks on this device, in every type, against float32 on the CPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from carve_eval.reporting.tables import Row, Table
from carve_export.precision.agreement import mask_overlap
from carve_models.errors import CarveError
from carve_runtime import Carve, CarveResult
from carve_runtime.bundle import default_bundle
from tools.gpu_check.bench import Bench

_SCENES = Path(__file__).parents[3] / "tests" / "scenes"
_TYPES = ("float32", "float16", "bfloat16")
_COLUMNS = ("type", "plain answers", "answers", "mask overlap", "least overlap", "ms a question")
_MILLISECONDS = 1e3


def measure(bench: Bench) -> Sequence[Table]:
    """Ask all questions in each type."""
    entries = json.loads((_SCENES / "questions.json").read_text())
    expected, _ = _ask(Carve.load(image_cache_bytes=0), entries)
    rows = [_row(bench, dtype, entries, expected) for dtype in _TYPES]
    note = (
        f"{len(entries)} questions; equal answers, and intersection over union of the masks, "
        "compared with float32 on the CPU."
    )
    return [Table("pocket", "Pocket", _COLUMNS, rows, note)]


def _row(bench: Bench, dtype: str, entries: list[Any], expected: list[CarveResult]) -> Row:
    folder = default_bundle() if dtype == "float32" else bench.prepared / f"pocket-{dtype}"
    try:
        vlm = Carve.load(folder, provider=bench.device.provider, image_cache_bytes=0)
        actual, milliseconds = _ask(vlm, entries)
    except CarveError as error:
        reason = str(error).partition(". ")[0].replace(str(folder), "the bundle")
        return [f"{dtype}, not run: {reason}", *[None] * (len(_COLUMNS) - 1)]
    pairs = list(zip(actual, expected, strict=True))
    plain = sum(left.plain_answer == right.plain_answer for left, right in pairs)
    answers = sum(left.answer == right.answer for left, right in pairs)
    overlaps = [mask_overlap(left.mask, right.mask) for left, right in pairs]
    return [
        dtype,
        f"{plain} of {len(pairs)}",
        f"{answers} of {len(pairs)}",
        f"{np.mean(overlaps):.4f}",
        f"{np.min(overlaps):.4f}",
        milliseconds,
    ]


def _ask(vlm: Carve, entries: list[Any]) -> tuple[list[CarveResult], float]:
    """Return all answers, and the median of their times in milliseconds."""
    results, times = [], []
    for entry in entries:
        start = perf_counter()
        results.append(vlm.ask(_SCENES / entry["image"], entry["question"]))
        times.append(perf_counter() - start)
    return results, float(np.median(times)) * _MILLISECONDS
