"""The pointing metric: by hand, and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.comparing import assert_close
from tools.shared.models.pointing import chance, hits, strongest

GRIDS = st.tuples(st.integers(1, 7), st.integers(1, 7))


@given(GRIDS, st.data())
def test_the_strongest_token_is_found_in_every_map(
    grid: tuple[int, int], data: st.DataObject
) -> None:
    token = data.draw(st.integers(0, grid[0] * grid[1] - 1))
    maps = np.zeros((2, 3, grid[0] * grid[1]))
    maps[1, 2, token] = 1.0
    points = strongest(maps, grid)
    assert points.shape == (2, 3, 2)
    assert tuple(points[1, 2]) == divmod(token, grid[1])
    assert tuple(points[0, 0]) == (0, 0)


@pytest.mark.parametrize(
    ("point", "exact", "near"),
    [((3, 3), True, True), ((4, 4), False, True), ((3, 5), False, False), ((1, 3), False, False)],
)
def test_near_is_one_token_in_any_direction(
    point: tuple[int, int], exact: bool, near: bool
) -> None:
    assert hits([point], [(3, 3)], reach=0)[0] == exact
    assert hits([point], [(3, 3)], reach=1)[0] == near


def test_chance_by_hand() -> None:
    assert_close(chance([(0, 0), (5, 0), (5, 5)], (12, 12)), np.array([4, 6, 9]) / 144, rtol=1e-7)
    assert_close(chance([(5, 5)], (12, 12), reach=0), [1 / 144], rtol=1e-7)


@given(GRIDS, st.data(), st.integers(0, 3))
def test_chance_is_the_share_of_tokens_that_hit(
    grid: tuple[int, int], data: st.DataObject, reach: int
) -> None:
    target = data.draw(st.tuples(*(st.integers(0, side - 1) for side in grid)))
    count = sum(
        max(abs(row - target[0]), abs(column - target[1])) <= reach
        for row in range(grid[0])
        for column in range(grid[1])
    )
    assert chance([target], grid, reach)[0] == pytest.approx(count / (grid[0] * grid[1]))
