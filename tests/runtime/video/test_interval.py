"""When in a clip, from maps that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from carve_models.errors import SettingsError
from carve_runtime.video.excerpt import frames_between, require_box
from carve_runtime.video.moments import moments_of
from carve_runtime.video.over_time.interval import (
    ClipSettings,
    choose_interval,
    edges_between,
    mass_over_time,
    spread,
)
from tests.comparing import assert_close

#: Mass over time, settings, and the moments of the interval; each lasts a second.
INTERVALS: list[tuple[list[float], dict[str, Any], tuple[int, int]]] = [
    ([0.1, 0.6, 0.2, 0.1], {}, (1, 2)),
    ([0.3, 0.1, 0.3, 0.3], {}, (2, 4)),  # two hold 0.6, the first two 0.4
    ([0.25, 0.25, 0.25, 0.25], {}, (0, 2)),  # equal: the first
    ([0.3, 0.0, 0.0, 0.7], {"mass_share": 0.8}, (0, 4)),  # one run, the gap included
    ([0.1, 0.6, 0.2, 0.1], {"mass_share": 0.8}, (1, 3)),
    ([0.1, 0.6, 0.2, 0.1], {"mass_share": 1.0}, (0, 4)),
    ([0.0, 0.6, 0.4, 0.0], {"mass_share": 1.0}, (1, 3)),
    ([0.1, 0.6, 0.1, 0.2], {"mass_share": 0.0}, (1, 2)),
    ([0.1, 0.6, 0.2, 0.1], {"min_seconds": 2}, (1, 3)),
    ([0.1, 0.6, 0.2, 0.1], {"min_seconds": 60}, (0, 4)),
    ([1.0], {}, (0, 1)),
]


@pytest.mark.parametrize(("mass", "settings", "moments"), INTERVALS)
def test_the_shortest_run_that_holds_enough(
    mass: list[float], settings: dict[str, Any], moments: tuple[int, int]
) -> None:
    edges = [10 * moment for moment in range(len(mass) + 1)]
    interval = choose_interval(np.array(mass), edges, 10.0, ClipSettings(**settings))
    assert interval.moments == moments
    assert interval.frames == (10 * moments[0], 10 * moments[1])
    assert interval.seconds == (float(moments[0]), float(moments[1]))


def test_the_mass_is_of_what_stands_out() -> None:
    # Three moments of four tokens. The threshold of a quarter keeps 9, 6 and 3.
    fused = np.array([1, 1, 1, 1, 1, 9, 6, 1, 1, 1, 3, 1], float)
    assert_close(mass_over_time(fused, 3, 0.25), [0, 15 / 18, 3 / 18], rtol=1e-12, atol=0)
    assert_close(mass_over_time(np.ones(12), 3, 0.25), [1 / 3] * 3, rtol=1e-12, atol=0)
    assert_close(mass_over_time(np.zeros(4), 2, 0.5), [0.5, 0.5], rtol=0, atol=0)
    assert_close(mass_over_time(np.array([0, 0, 0, 5.0]), 2, "auto"), [0, 1], rtol=0, atol=0)


def test_frames_belong_to_the_nearest_moment() -> None:
    assert edges_between(moments_of([0, 11, 22, 33], 5.0, 2), 40) == [0, 17, 40]
    assert edges_between(moments_of([2, 7, 12], 5.0, 1), 15) == [0, 5, 10, 15]
    assert edges_between(moments_of([0, 1, 2], 5.0, 1), 3) == [0, 1, 2, 3]


def test_frames_are_spread_over_the_interval() -> None:
    assert spread(10, 20, 5) == (11, 13, 15, 17, 19)
    assert spread(10, 20, 1) == (15,)
    assert spread(3, 6, 8) == (3, 4, 5)
    assert spread(0, 10, 3) == (1, 5, 8)


def test_seconds_that_are_given() -> None:
    assert frames_between((1.0, 2.0), 10.0, 30) == (10, 20)
    assert frames_between((0.95, 2.01), 10.0, 30) == (9, 21)
    assert frames_between((0, 99), 10.0, 30) == (0, 30)


WRONG: list[tuple[Any, str]] = [
    ((2.0, 1.0), "lasts 3.00 seconds"),
    ((-1.0, 1.0), "interval"),
    ((3.0, 4.0), "interval"),
    ((float("nan"), 1.0), "interval"),
    ((float("inf"), float("inf")), "interval"),
    ((1.0,), "interval"),
    (5, "interval"),
]


@pytest.mark.parametrize(("seconds", "says"), WRONG)
def test_seconds_that_are_refused(seconds: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        frames_between(seconds, 10.0, 30)


@pytest.mark.parametrize(
    "box", [(0, 0, 61, 44), (-1, 0, 9, 9), (5, 5, 5, 9), (0, 0, 1.5, 9), (1, 2, 3), None, "abcd"]
)
def test_boxes_that_are_refused(box: Any) -> None:
    require_box((0, 0, 60, 44), (60, 44))
    with pytest.raises(SettingsError, match="60 x 44"):
        require_box(box, (60, 44))


@pytest.mark.parametrize(
    "given",
    [
        {"mass_share": 1.1},
        {"mass_share": float("nan")},
        {"min_seconds": -1},
        {"refined_frames": 0},
        {"refined_frames": 2.5},
        {"crop": 1},
    ],
)
def test_settings_that_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(given))):
        ClipSettings(**given)
