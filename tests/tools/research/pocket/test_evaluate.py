"""Settings are chosen by what they win, and by what they lose elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from carve_runtime.bundle import open_bundle
from tools.research.pocket.evaluate import choose, points_at_target, score
from tools.research.quality.cached_bundle import CachedBundle
from tools.research.quality.study import Size, Study


def test_harm_beyond_a_point_costs_what_it_loses() -> None:
    plain = [90.0, 70.0, 100.0]
    assert score([80.0, 70.0], plain, plain) == 75
    assert score([80.0, 70.0], [95.0, 70.0, 99.0], plain) == 75
    assert score([80.0, 70.0], [87.0, 70.0, 90.0], plain) == pytest.approx(75 - 2 - 9)


def test_the_search_ends_with_settings_that_point(tmp_path: Path) -> None:
    study = Study(CachedBundle(open_bundle(), tmp_path), "dev", Size(pictures=1, grid=1))
    chosen = choose(study, layers=(0, 1))
    assert 1 in chosen.layers  # layer 0 looks everywhere
    assert chosen.rule == "paper"
    observations = study.observations("small")
    assert sum(points_at_target(study, each, chosen) for each in observations) >= 2
