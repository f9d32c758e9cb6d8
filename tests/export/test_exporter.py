"""Every case in both profiles reproduces PyTorch."""

from __future__ import annotations

import pytest

from carve_models.manifest import Profile
from tests.conftest import ExportOf
from tests.support import CASES, PROFILES


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", CASES)
def test_graphs_reproduce_the_checkpoint(name: str, profile: Profile, export_of: ExportOf) -> None:
    report = export_of(name, profile)
    titles = [row.name for row in report.comparisons]
    assert [title for title in titles if "chunked" in title] == [
        "logits, chunked",
        "attention, chunked",
    ]
    for row in report.comparisons:
        print(f"{name} {profile} {row.name}: {row.difference:.2e} of {row.scale:.2e}")
        assert row.tolerance == CASES[name].tolerance
        assert row.difference <= row.tolerance * row.scale
