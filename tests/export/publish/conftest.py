"""A place with a bundle, and others to replace it by, each way that there is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from carve_export.publish import folders
from tests.export.publish.places import NOBODY
from tools.checks.kills import Bundles


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(params=[True, False], ids=["exchange", "three renames"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(folders, "_exchange_at_once", lambda first, second: False)


@pytest.fixture
def target(bundles: Bundles, tmp_path: Path) -> Path:
    """Return the place of bundle 0."""
    bundles.export(0, tmp_path / "place" / "bundle", overwrite=False)
    return tmp_path / "place" / "bundle"


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """Yield a folder of a user whom permissions bind, who runs the test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        privileged = os.geteuid() == 0
        if privileged:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if privileged:
                os.seteuid(0)
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755)
