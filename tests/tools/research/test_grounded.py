"""Does attention find wrong answers? The score, its area under the curve, and the whole table."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from tests.comparing import assert_close
from tools.research.grounded import __main__ as command
from tools.research.grounded.answers import Answered
from tools.research.grounded.score import Score, area, area_gain
from tools.research.grounded.signals import log_odds

RIGHT = np.array([True, False, True, False])


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ([4, 1, 3, 2], 1.0),
        ([1, 4, 2, 3], 0.0),
        ([4, 1, 2, 3], 0.75),
        ([1, 1, 1, 1], 0.5),
        ([2, 1, 1, 0], 0.875),  # a tie counts half
    ],
)
def test_the_area_counts_pairs(score: list[float], expected: float) -> None:
    assert area(np.array(score, float), RIGHT) == expected


def test_there_is_no_area_without_wrong_answers() -> None:
    assert np.isnan(area(np.arange(3.0), np.ones(3, np.bool_)))


def test_a_score_weighs_what_tells() -> None:
    random = np.random.default_rng(0)
    right = random.random(2000) < 0.5
    signals = np.column_stack([right + random.normal(size=2000), random.normal(size=2000)])
    score = Score.fit(signals, right)
    # Two normal distributions whose means differ by 1 have log-odds of x - 1/2.
    assert_close(score.weights[:-1] / score.deviation, [1, 0], atol=0.2)
    assert_close(score(np.array([[0.5, 0.0]])), [0], atol=0.2)
    gain = area_gain(score(signals), signals[:, 1], right, list(range(2000)))
    assert_close(gain.estimate, area(signals[:, 0], right) - area(signals[:, 1], right), atol=0.01)
    assert gain.low < gain.estimate < gain.high


def test_log_odds_are_finite() -> None:
    assert_close(log_odds([0.5, 0.8]), [0, np.log(4)], atol=1e-9)
    assert np.isfinite(log_odds([0.0, 1.0])).all()


def test_the_tables(tmp_path: Path) -> None:
    title = "Wrong plain answers"
    ask = ["--pictures", "3", "--out", str(tmp_path)]
    first = CliRunner().invoke(command.main, ask, catch_exceptions=False)
    assert first.exit_code == 0
    assert "probability and attention" in first.output
    kept = sorted(tmp_path.rglob("*-carve.json"))
    answers = msgspec.json.decode(kept[0].read_bytes(), type=list[Answered])
    assert all(0 < each.probability <= 1 for each in answers)
    again = CliRunner().invoke(command.main, ask, catch_exceptions=False)
    assert again.output[again.output.index(title) :] == first.output[first.output.index(title) :]
