"""Ways to 4 bits, tried on a few questions."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from tools.research.precision.search import main, write_questions


def test_questions_are_about_other_pictures_than_calibration(tmp_path: Path) -> None:
    measured, calibration = write_questions(tmp_path, {"small": (2, 1), "large": (1, 1)})
    assert {entry.image for entry in measured} == {"small-0.png", "small-1.png", "large-0.png"}
    assert {entry.image for entry in calibration} == {"small-2.png", "large-1.png"}
    for entry in measured + calibration:
        assert entry.box is not None
        assert entry.answer
        width, height = Image.open(tmp_path / entry.image).size
        x0, y0, x1, y1 = entry.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height


def test_a_way_is_measured() -> None:
    result = CliRunner().invoke(main, ["--pictures", "1", "--only", "rounded to nearest in 8 bits"])
    assert result.exit_code == 0, result.output
    assert "rounded to nearest in 8 bits" in result.stdout
    assert "8 questions; in float32" in result.stdout
