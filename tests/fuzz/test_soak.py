"""Small versions of the soak; ``python -m tests.fuzz.soak`` is the whole one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.fuzz.soak import Growth, differing, growth

THREADS, ASKS = 4, 8
ALONE, WARM = 48, 24
CACHE = 4 << 20


def test_threads_answer_as_one_does() -> None:
    assert differing(THREADS, ASKS) == 0


@pytest.mark.parametrize("cache", [0, CACHE])
def test_memory_stays(cache: int) -> None:
    """In a process of its own, where no other test takes memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        grown = process.submit(growth, ALONE, cache, WARM).result()
    assert grown.allowed(cache), grown
    assert (grown.cached > 0) == bool(cache)


def test_growth_is_judged() -> None:
    assert Growth(before=1000, most=1020, cached=0).allowed(0)
    assert not Growth(before=1000, most=1021, cached=0).allowed(0)
    assert Growth(before=1000, most=1070, cached=50).allowed(50)
    assert not Growth(before=1000, most=1050, cached=51).allowed(50)
