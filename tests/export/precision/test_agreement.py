"""Where a map points, and how alike two bundles are."""

from __future__ import annotations

import numpy as np
import pytest

from carve_export.precision.agreement import Outcome, measure_quality, points_at
from carve_export.precision.calibration import Entry

#: A picture of 120 x 60 pixels in 3 rows and 4 columns of tokens, strongest in column 75, row 10.
GRID = (3, 4)
SALIENCY = np.zeros((60, 120))
SALIENCY[10, 75] = 1
PLACES: list[tuple[tuple[float, float] | None, tuple[float, float, float, float] | None, bool]] = [
    ((75, 10), None, True),
    ((105, 30), None, True),  # one token away, both ways
    ((106, 10), None, False),
    ((75, 31), None, False),
    (None, (70, 5, 80, 15), True),
    (None, (76, 5, 80, 15), False),
    ((10, 50), (0, 0, 120, 60), True),  # far from the centre of a large object
]


@pytest.mark.parametrize(("center", "box", "expected"), PLACES)
def test_pointing(
    center: tuple[float, float] | None,
    box: tuple[float, float, float, float] | None,
    expected: bool,
) -> None:
    entry = Entry("", "", None, center, box)
    assert points_at(SALIENCY, GRID, entry) is expected
    seen = np.full((60, 180), np.nan)  # the model saw a part of the picture
    seen[:, :120] = SALIENCY
    assert points_at(seen, (3, 6), entry) is expected


def test_nothing_to_point_at() -> None:
    assert points_at(SALIENCY, GRID, Entry("", "")) is None
    skipped = np.full_like(SALIENCY, np.nan)
    assert points_at(skipped, GRID, Entry("", "", None, (75, 10))) is None


def test_two_bundles_are_compared() -> None:
    left, right = np.zeros((2, 2), np.bool_), np.zeros((2, 2), np.bool_)
    left[:, 0] = right[0, 0] = True
    baseline = [Outcome("A", "B", left, True, True), Outcome("C", "D", left, None, True)]
    lowered = [Outcome("A", "A", right, True, None), Outcome("E", "D", left, None, False)]
    quality = measure_quality(baseline, lowered, {"decoder": "int4"}, 0.25)
    assert (quality.answer_agreement, quality.plain_agreement) == (0.5, 0.5)
    assert (quality.mask_overlap, quality.least_mask_overlap) == (0.75, 0.5)
    assert (quality.right, quality.usual_right) == (1, 1)
    assert (quality.pointing, quality.usual_pointing) == (0, 1)
    unknown = [Outcome("A", "B", left, None, None)]
    assert measure_quality(unknown, unknown, {}, 1).pointing is None
