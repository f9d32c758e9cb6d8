"""The checkpoint that the commands are tried on, and its graphs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import carve_export.exporter as exporter
from tests.conftest import CheckpointOf, ExportOf
from tests.export.cli.commands import NAME


@pytest.fixture(scope="session")
def checkpoint(checkpoint_of: CheckpointOf) -> Path:
    return checkpoint_of(NAME)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, export_of: ExportOf) -> None:
    """Save the time of tracing: put the graphs of the same checkpoint's earlier export there."""
    graphs = export_of(NAME, "ort").folder / "onnx"

    def copy(checkpoint: object, manifest: object, folder: Path, on_stage: object) -> None:
        shutil.copytree(graphs, folder / "onnx")

    monkeypatch.setattr(exporter, "_trace", copy)
