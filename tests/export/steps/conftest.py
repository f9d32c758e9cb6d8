"""The step graphs of the default bundle, built anew: what is committed would hide a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from carve_export.steps.graphs import write_step_graphs
from carve_models.manifest import read_manifest
from tests.support import POCKET


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    manifest = read_manifest(POCKET)
    write_step_graphs(folder, manifest.image, manifest.decoder.positions)
    return folder
