"""Memory that ends in the middle of an answer: a typed error, and the next question is answered.

In processes of their own: the limit would hold for whatever else runs in this one.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context

import numpy as np
import pytest

from carve_runtime import Carve, RunError, load_image
from carve_runtime.method.geometry import RGB
from tests.comparing import content
from tests.runtime.cli.commands import ASK, carve_run, failed
from tests.support import POCKET, limited
from tools.shared.memory import memory_of

QUESTION = "What word is on the purple square?"
MEGABYTE = 1 << 20
#: What is left for a large picture, in megabytes: less than each of the steps takes.
ROOMS = (0, 60, 100)
TILES = 6
#: What is left for the first answer ever, which takes some four megabytes.
LITTLE = tuple(sixteenths / 16 for sixteenths in range(96))


def left(megabytes: float) -> AbstractContextManager[None]:
    """Let this process take so much more memory than it has."""
    return limited(resource.RLIMIT_AS, memory_of()["VmSize"] + round(megabytes * MEGABYTE))


def example() -> RGB:
    return load_image(POCKET / "example.jpg")


def large_pictures() -> list[str]:
    """Return what was refused; small pictures are answered as before in between."""
    vlm, picture = Carve.load(POCKET, threads=1, image_cache_bytes=0), example()
    large = np.tile(picture, (TILES, TILES, 1))
    expected = content(vlm.ask(picture, QUESTION))
    refused = []
    for room in ROOMS:
        try:
            with left(room):
                vlm.ask(large, QUESTION)
        except RunError as error:
            refused.append(str(error))
        assert content(vlm.ask(picture, QUESTION)) == expected
    return refused


def first_answers() -> list[str]:
    """Return what was refused; at the end all is answered as if nothing had been."""
    vlm, picture = Carve.load(POCKET, threads=1, image_cache_bytes=0), example()
    refused = []
    for room in LITTLE:
        try:
            with left(room):
                vlm.plain(picture, QUESTION)
        except RunError as error:
            refused.append(str(error))
    again = Carve.load(POCKET, threads=1, image_cache_bytes=0)
    assert content(vlm.ask(picture, QUESTION)) == content(again.ask(picture, QUESTION))
    return refused


def apart(work: Callable[[], list[str]]) -> list[str]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work).result()


def test_arrays_that_do_not_fit() -> None:
    refused = apart(large_pictures)
    assert len(refused) > 1
    assert all("does not suffice: " in each and "smaller image" in each for each in refused)


def test_graphs_that_do_not_fit() -> None:
    refused = apart(first_answers)
    assert any("ONNX Runtime failed in" in each for each in refused), refused
    assert all("ree memory" in each for each in refused)


def test_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("carve_runtime.cli.ask.save", no_memory)
    failed(carve_run(*ASK, "--max-new-tokens", 1), 1, r"memory does not suffice: .* Give a smaller")
