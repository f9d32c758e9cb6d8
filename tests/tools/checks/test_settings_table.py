"""What C and JavaScript copy from Python is what Python says."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pytest

from carve_models.settings import Settings
from tools.checks.settings_table.files import ROOT, generated_files
from tools.checks.settings_table.table import (
    NOT_IN_TABLES,
    Choice,
    Number,
    offered_flags,
    offered_settings,
)


@pytest.mark.parametrize("path", generated_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_committed_files_are_up_to_date(path: Path) -> None:
    remedy = "run python -m tools.checks.settings_table --write"
    assert path.read_text(encoding="utf-8") == generated_files()[path], remedy


def test_the_settings_are_read_from_the_declarations() -> None:
    choices, numbers = offered_settings()
    assert Choice("rule", ("released", "paper"), "released") in choices
    for number in (
        Number("mask_top_p", 0.2, 0, True, 1, False, True, False),
        Number("outlier_percent", 0.1, 0, False, 100, False, False, False),
        Number("regularizer", 1e-8, 0, False, math.inf, False, True, False),
        Number("max_regions", 3, 1, False, math.inf, True, False, False),
        Number("max_refined_pixels", None, 1, False, 1 << 28, True, False, True),
        Number("sure_probability", None, 0, False, 1, False, False, True),
    ):
        assert number in numbers
    assert offered_flags() == {"early_exit": False, "adaptive": False}
    names = {choice.name for choice in choices} | {number.name for number in numbers}
    known = names | NOT_IN_TABLES | set(offered_flags())
    assert known == {field.name for field in fields(Settings)}
