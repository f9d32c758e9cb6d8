"""A pool lends each object to one run at a time, and drops what failed."""

from __future__ import annotations

from itertools import count

import pytest

from carve_runtime.backends.pool import Pool


def test_objects_are_lent_once_and_used_again() -> None:
    pool = Pool(count().__next__)
    with pool.lend() as first, pool.lend() as second:
        assert (first, second) == (0, 1)
    with pool.lend() as one, pool.lend() as other:
        assert {one, other} == {0, 1}


def test_what_failed_is_dropped() -> None:
    pool = Pool(count().__next__)
    with pytest.raises(OSError, match="lost"), pool.lend():
        raise OSError("lost")
    with pool.lend() as fresh:
        assert fresh == 1
