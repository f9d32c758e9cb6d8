"""A pool lends each object to one run at a time, and drops what failed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier, Lock

import pytest

from carve_runtime.backends.pool import Pool


def test_objects_are_lent_once_and_used_again() -> None:
    pool = Pool(count().__next__)
    with pool.lend() as first, pool.lend() as second:
        assert (first, second) == (0, 1)
    with pool.lend() as left, pool.lend() as right:
        assert {left, right} == {0, 1}


def test_what_failed_is_dropped() -> None:
    pool = Pool(count().__next__)
    with pytest.raises(OSError, match="lost"), pool.lend():
        raise OSError("lost")
    with pool.lend() as fresh:
        assert fresh == 1


def test_one_object_is_made_at_a_time() -> None:
    """TensorRT's engines are not made for threads, their contexts are."""
    making, threads = Lock(), 4
    begin = Barrier(threads)

    def make() -> object:
        assert making.acquire(blocking=False)
        time.sleep(0.01)  # long enough for the other threads to come
        making.release()
        return object()

    def use(_: int) -> None:
        begin.wait()
        with pool.lend():
            pass

    pool = Pool(make)
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(use, range(threads)))
