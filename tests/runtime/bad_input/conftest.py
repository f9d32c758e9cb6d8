"""A bundle to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import POCKET


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a copy of the pocket bundle, to be damaged."""
    ignored = shutil.ignore_patterns("checkpoint", "example.jpg")
    return Path(shutil.copytree(POCKET, tmp_path / "bundle", ignore=ignored))
