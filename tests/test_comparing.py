"""What numpy's comparisons let pass is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.comparing import assert_close

ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (ONES * np.nan, ONES * np.nan, "6 of 6 actual not finite"),
        ([1.0, np.inf], [1.0, np.inf], "1 of 2 actual not finite"),
        ([1.0, 2.0], [1.0, np.nan], "1 of 2 expected not finite"),
        (ONES[:0], ONES[:0], "the actual array is empty"),
        (ONES, ONES[0], "shapes"),
        (ONES, ONES + 1e-9, "Not equal to tolerance"),
    ],
)
def test_what_is_not_close(actual: Any, expected: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected)


def test_what_is_close() -> None:
    assert_close(ONES, ONES)
    assert_close(ONES, 1)
    assert_close(ONES + 1e-3, ONES, atol=2e-3)
    assert_close(ONES + 1e-3, ONES, rtol=2e-3)
