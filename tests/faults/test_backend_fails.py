"""A backend that fails in the middle of an answer: the next question is answered as if it had not.

Each run of a graph fails once; every second one has written its outputs, in place too, by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from carve_models.errors import RunError
from carve_runtime import Carve, CarveResult, PlainResult, Token, load_image
from carve_runtime.backends import BACKENDS
from carve_runtime.method.geometry import RGB
from tests.comparing import content
from tests.faults.faulty_backend import Faults, FaultyBackend, When
from tests.support import POCKET, SCENES

QUESTION, OTHER = "What letter is on the blue cross?", "Is there a red star?"
SIZE = (96, 72)
CACHE = 64 << 20
WHEN: tuple[When, ...] = get_args(When)
ASKS = 6  # of the thread beside the one that fails


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def load(faults: Faults) -> Iterator[Callable[..., Carve]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "ort", FaultyBackend(faults))
        yield lambda **options: Carve.load(POCKET, threads=1, **options)


@pytest.fixture(scope="module")
def picture() -> RGB:
    scene = Image.fromarray(load_image(SCENES / "scene-00.jpg"))
    return np.asarray(scene.resize(SIZE))


Result = CarveResult | PlainResult
Ask = Callable[[Carve, RGB], Result]

WAYS: dict[str, Ask] = {
    "pair": lambda vlm, picture: vlm.plain(picture, QUESTION, refined=picture[:40, :40]),
    "all steps": lambda vlm, picture: vlm.ask(picture, QUESTION, steps="all", layers=[0, 1]),
    "early exit": lambda vlm, picture: vlm.ask(
        picture, QUESTION, steps="first", early_exit=True, layers=[0]
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_run_fails_once(
    way: str, load: Callable[..., Carve], faults: Faults, picture: RGB
) -> None:
    ask, vlm = WAYS[way], load(image_cache_bytes=0)
    with faults.armed(None, "before", RunError("", "")):
        expected = content(ask(vlm, picture))
        runs = faults.runs
    assert runs >= len(("preprocess", "vision", "embed", "prefix", "question"))
    for number, when in zip(range(runs), cycle(WHEN), strict=False):
        error = RunError(f"run {number}", "wait")
        with faults.armed(number, when, error), pytest.raises(RunError) as caught:
            ask(vlm, picture)
        assert caught.value is error
        assert content(ask(vlm, picture)) == expected, f"{when} {number}"


def test_the_image_cache_keeps_nothing_broken(
    load: Callable[..., Carve], faults: Faults, picture: RGB
) -> None:
    """What failed is not kept, and what was kept before still answers."""
    ask, vlm = WAYS["all steps"], load(image_cache_bytes=CACHE)
    with faults.armed(0, "before", RunError("", "")), pytest.raises(RunError):
        ask(vlm, picture)
    assert vlm.image_cache_nbytes == 0
    expected = content(ask(vlm, picture))
    with faults.armed(None, "before", RunError("", "")):
        assert content(ask(vlm, picture)) == expected
        runs = faults.runs
    for number, when in zip(range(runs), cycle(WHEN), strict=False):
        with faults.armed(number, when, RunError("", "")), pytest.raises(RunError):
            ask(vlm, picture)
        assert content(ask(vlm, picture)) == expected, f"{when} {number}"


def test_a_session_that_failed_goes_on(
    load: Callable[..., Carve], faults: Faults, picture: RGB
) -> None:
    vlm = load(image_cache_bytes=0)
    with vlm.open(picture) as session, faults.armed(None, "before", RunError("", "")):
        expected = content(session.ask(QUESTION))
        runs = faults.runs
    for number, when in zip(range(runs), cycle(WHEN), strict=False):
        session = vlm.open(picture)
        failing = faults.armed(number, when, ValueError("not one of ours"))
        with failing, pytest.raises(ValueError, match="not one of ours"):
            session.ask(QUESTION)
        assert content(session.ask(QUESTION)) == expected, f"{when} {number}"


def test_other_threads_do_not_notice(
    load: Callable[..., Carve], faults: Faults, picture: RGB
) -> None:
    """Two threads ask one session; the runs of one fail, in turn, while the other goes on."""
    vlm = load(image_cache_bytes=CACHE)
    with vlm.open(picture) as session:
        expected = content(session.ask(QUESTION))

        def fail(number: int) -> None:
            with faults.armed(number, "after", RunError("", "")), pytest.raises(RunError):
                session.ask(QUESTION)

        with ThreadPoolExecutor(2) as threads:
            failing = [threads.submit(fail, number % 3) for number in range(ASKS)]
            asking = [threads.submit(session.ask, QUESTION) for _ in range(ASKS)]
            assert all(each.exception() is None for each in failing)
            assert all(content(each.result()) == expected for each in asking)


@pytest.mark.parametrize("cache", [0, CACHE])
def test_a_listener_that_raises(cache: int, load: Callable[..., Carve], picture: RGB) -> None:
    vlm, heard = load(image_cache_bytes=cache), list[Token]()
    expected = content(vlm.ask(picture, QUESTION))  # a cached image has its general pass
    assert content(vlm.ask(picture, QUESTION, on_token=heard.append)) == expected
    assert {token.stage for token in heard} >= {"question", "final"}
    for number in range(len(heard)):
        left = iter(range(number))

        def listen(_: Token, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyError("enough")

        with pytest.raises(KeyError, match="enough"):
            vlm.ask(picture, QUESTION, on_token=listen)
        assert content(vlm.ask(picture, QUESTION)) == expected
