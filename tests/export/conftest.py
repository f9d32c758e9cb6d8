"""The checkpoint that the commands are tried on, and its graphs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import carve_export.exporter as exporter
from tests.conftest import CheckpointOf, ExportOf
from tests.export.cli.commands import NAME


@pytest.fixture(scope="session")
def checkpoint(checkpoint_of: CheckpointOf) -> Path:
    return checkpoint_of(NAME)


@pytest.fixture
def trace_from(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Save the time of tracing: the next exports take the graphs of an earlier one."""

    def replace(bundle: Path) -> None:
        def copy(checkpoint: object, manifest: object, folder: Path, on_stage: object) -> None:
            shutil.copytree(bundle / "onnx", folder / "onnx")

        monkeypatch.setattr(exporter, "_trace", copy)

    return replace


@pytest.fixture
def traced(trace_from: Callable[[Path], None], export_of: ExportOf) -> None:
    trace_from(export_of(NAME, "ort").folder)
