"""A value that is computed when it is read."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from carve_runtime.method.lazy import Lazy


def test_threads_share_one_computation() -> None:
    made: list[list[int]] = []

    def make() -> list[int]:
        sleep(0.05)
        made.append([])
        return made[-1]

    lazy = Lazy(make)
    assert not made
    with ThreadPoolExecutor(4) as threads:
        values = list(threads.map(lambda _: lazy.get(), range(8)))
    assert len(made) == 1
    assert all(value is made[0] for value in values)


def test_a_failure_is_not_a_value() -> None:
    outcomes = iter([1 / 2, 0])

    def make() -> float:
        return 1 / next(outcomes)

    lazy = Lazy(make)
    assert lazy.get() == lazy.get() == 2
    with pytest.raises(ZeroDivisionError):
        Lazy(make).get()


def test_another_process_receives_the_value() -> None:
    copy = pickle.loads(pickle.dumps(Lazy(lambda: 7)))
    assert copy.get() == 7
