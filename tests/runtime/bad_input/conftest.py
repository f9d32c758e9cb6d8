"""A bundle to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import copied_pocket


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a copy of the pocket bundle, to be damaged."""
    return copied_pocket(tmp_path / "bundle")
