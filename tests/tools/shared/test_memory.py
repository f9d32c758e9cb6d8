"""Memory of a function in a process of its own is measured, that of what it imports is not."""

from __future__ import annotations

import numpy as np

from tools.shared.memory import measured, peak_of

MEGABYTES = 200
COUNTED = 0.99  # of it at least: the kernel counts pages in batches


def work(megabytes: int) -> int:
    return int(np.ones((megabytes, 1 << 20), np.uint8).sum())


def test_memory_of_its_own_is_measured() -> None:
    stage = measured("work", work, MEGABYTES)
    assert stage.result == MEGABYTES << 20
    assert stage.own_bytes >= COUNTED * (MEGABYTES << 20)


def test_the_peak_is_what_a_function_adds() -> None:
    peak, total = peak_of(work, MEGABYTES, imports=("numpy",))
    assert total == MEGABYTES << 20
    assert COUNTED * total <= peak < 2 * total
