"""What a line of the table says, and the table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.bench.measure import Spread

_PACKAGES = (
    "carve-vlm",
    "onnxruntime",
    "torch",
    "transformers",
    "openvino",
    "openvino-genai",
    "onnxruntime-genai",
)


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        line: the line of the table that it belongs to.
        what: which model and case.
        value: with its spread; ``None`` if it could not be measured, ``note`` then says why.
        unit: "x" for ratios, "s", "MB".
        reach: the bound to reach, ``None`` if there is none.
        at_least: whether the bound is a lower one.
        note: what else there is to say.
    """

    line: str
    what: str
    value: Spread | None
    unit: str = "x"
    reach: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the bound; ``None`` without either."""
        if self.value is None or self.reach is None:
            return None
        return (self.value.median >= self.reach) == self.at_least or self.value.median == self.reach


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    table = Table("line", "what", "median", "quartiles", "reach", "", "note")
    for one in figures:
        value = one.value
        sign = ">=" if one.at_least else "<="
        table.add_row(
            one.line,
            one.what,
            f"{value.median:.3g} {one.unit}" if value else "-",
            f"{value.low:.3g} .. {value.high:.3g}" if value else "",
            "" if one.reach is None else f"{sign} {one.reach:.3g}",
            {True: "yes", False: "no", None: ""}[one.reached],
            one.note,
        )
    console.print(table)


def markdown(figures: Sequence[Figure]) -> str:
    """Return the table for the README."""
    rows = ["| what | measured | reach |", "| --- | --- | --- |"]
    for one in figures:
        value, sign = one.value, "≥" if one.at_least else "≤"
        measured = one.note
        if value:
            measured = f"{value.median:.3g} {one.unit} ({value.low:.3g} .. {value.high:.3g})"
            measured += f"; {one.note}" if one.note else ""
        reach = "" if one.reach is None else f"{sign} {one.reach:.3g}"
        rows.append(f"| {one.line}: {one.what} | {measured} | {reach} |")
    return "\n".join(rows) + "\n"


def save(figures: Sequence[Figure], folder: Path) -> None:
    """Write ``figures.json`` and ``figures.md``."""
    entries = [asdict(one) | {"reached": one.reached} for one in figures]
    document = {"machine": machine(), "figures": entries}
    (folder / "figures.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "figures.md").write_text(markdown(figures))


def machine() -> dict[str, Any]:
    """Return the date, the machine's shape and the versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for row in cpuinfo.read_text().splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    return platform.processor()
