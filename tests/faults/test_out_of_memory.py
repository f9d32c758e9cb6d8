"""Memory that ends in the middle of an answer: a typed error, and the next question is answered."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

from carve_runtime import Carve, RunError, load_image
from tests.faults.test_backend_fails import content
from tests.support import POCKET
from tools.shared.memory import memory_of

QUESTION = "What word is on the purple square?"
MEGABYTE = 1 << 20
#: What is left for a large picture, and for a long question after short ones; in megabytes.
ROOMS = (0, 60, 100, 200, 280)
TILES, WORDS = 6, 250


@contextmanager
def left(megabytes: int) -> Iterator[None]:
    """Let this process take so much more memory than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_of()["VmSize"] + megabytes * MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusals() -> list[str]:
    """Return what was refused, and fail unless small questions are answered as before."""
    vlm = Carve.load(POCKET, threads=1, image_cache_bytes=0)
    picture = load_image(POCKET / "example.jpg")
    large = np.tile(picture, (TILES, TILES, 1))
    expected = content(vlm.ask(picture, QUESTION))
    asks: list[Callable[[], object]] = [
        lambda: vlm.ask(large, QUESTION),
        lambda: vlm.plain(picture, "word " * WORDS),
        lambda: load_image(large),
    ]
    refused = []
    for room in ROOMS:
        for ask in asks:
            try:
                with left(room):
                    ask()
            except RunError as error:
                refused.append(str(error))
            assert content(vlm.ask(picture, QUESTION)) == expected
    return refused


def test_the_next_question_is_answered() -> None:
    """In a process of its own: the limit would hold for whatever else runs in this one."""
    with get_context("spawn").Pool(1) as pool:
        refused = pool.apply(refusals)
    assert any("the memory does not suffice: Unable to allocate" in each for each in refused)
    assert all("ree memory" in each for each in refused)
    print("\n".join(refused))
