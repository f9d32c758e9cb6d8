"""The machine that something is measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

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
class Machine:
    """When and where something was measured.

    Attributes:
        date: ISO date, UTC.
        processor: its name.
        cores: how many the system has.
        system: name and version of the operating system.
        python: version of Python.
        versions: of the packages that matter; those that are not installed are left out.
    """

    date: str
    processor: str
    cores: int | None
    system: str
    python: str
    versions: dict[str, str]


def this_machine() -> Machine:
    """Return the machine as it is today."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        datetime.now(timezone.utc).date().isoformat(),
        _processor(),
        os.cpu_count(),
        platform.platform(),
        platform.python_version(),
        versions,
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for row in cpuinfo.read_text().splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    return platform.processor()
