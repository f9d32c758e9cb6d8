"""Buffers on a device go from one cache to the next, and never to two at once."""

from __future__ import annotations

import numpy as np
import pytest

from carve_runtime.backends.ort import OrtGraph
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.decoder.buffers import BufferPool
from carve_runtime.decoder.token_step import PartInPlace
from tests.backends import take_the_cpu_for_a_device
from tests.support import POCKET

DEVICE_BLOCK = 256


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> BufferPool:
    """Return a pool that takes the CPU for a device."""
    take_the_cpu_for_a_device(monkeypatch)
    return host_pool()


def host_pool() -> BufferPool:
    bundle = open_bundle(POCKET)
    spec = bundle.manifest.decoder
    parts = [
        PartInPlace(part, OrtGraph(bundle, part.name, BackendSettings(threads=1)))
        for part in spec.parts
    ]
    return BufferPool(parts, spec, np.dtype(np.float32))


def test_buffers_are_used_again(pool: BufferPool) -> None:
    lease = pool.take(10)
    first = lease.buffers
    assert first.capacity == DEVICE_BLOCK
    other = pool.take(10)
    assert other.buffers is not first
    del lease
    again = pool.take(DEVICE_BLOCK)
    assert again.buffers is first
    assert pool.take(DEVICE_BLOCK + 1).buffers is not first


def test_the_last_two_are_kept(pool: BufferPool) -> None:
    leases = [pool.take(10) for _ in range(3)]
    kept = [lease.buffers for lease in leases[1:]]
    while leases:
        leases.pop(0)
    taken = [pool.take(10) for _ in range(3)]
    assert {id(lease.buffers) for lease in taken[:2]} == {id(buffers) for buffers in kept}
    assert id(taken[2].buffers) not in {id(buffers) for buffers in kept}


def test_the_smallest_that_fits_is_taken_and_none_that_is_far_too_large(pool: BufferPool) -> None:
    leases = [pool.take(size * DEVICE_BLOCK) for size in (3, 2)]
    larger, smaller = (lease.buffers for lease in leases)
    leases.clear()
    tiny = pool.take(1)
    assert tiny.buffers is smaller  # twice what is needed
    another = pool.take(1)
    assert another.buffers is not larger  # three times that


def test_buffers_come_back_while_the_pool_is_busy(pool: BufferPool) -> None:
    """As when the garbage collector frees a lease within the pool's own lock."""
    lease = pool.take(10)
    first = lease.buffers
    with pool._lock:
        del lease
    assert pool.take(10).buffers is first


def test_the_host_keeps_none() -> None:
    pool = host_pool()
    lease = pool.take(10)
    first = lease.buffers
    assert first.capacity < DEVICE_BLOCK
    del lease
    assert pool.take(10).buffers is not first
