"""Many asks at once and one after the other: equal answers, and memory that stays where it is.

python -m tests.fuzz.soak                        # 8 threads x 500 asks; 1,000 asks without a cache
python -m tests.fuzz.soak --threads 2 --asks 10  # fewer
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from threading import Barrier

import click

from carve_runtime import Carve, load_image
from carve_runtime.method.geometry import RGB
from tests.comparing import content
from tests.support import POCKET, SCENES
from tools.shared.memory import memory_of

#: Pictures and questions in turn; their numbers have no common factor, so that all pairs occur.
_PICTURES = tuple(f"scene-{number:02}.jpg" for number in range(8))
_QUESTIONS = (
    "What letter is on the blue cross?",
    "Is there a red star?",
    "What is the word on the green circle? Spell it.",
)
_THREADS, _ASKS = 8, 500
_ALONE = 1000
#: Share of the memory after the first asks that all others may add.
GROWTH = 0.02
#: Asks of each part until caches, pools and arenas have their sizes.
_WARM = 100
_CACHE = 32 << 20
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Growth:
    """Memory of the process in bytes.

    Attributes:
        before: after the first asks.
        most: at most from then on.
        cached: of it in the image cache, at most.
    """

    before: int
    most: int
    cached: int

    def allowed(self, limit: int) -> bool:
        """Return whether it grew by no more than :data:`GROWTH` and what the cache may take."""
        return self.cached <= limit and self.most <= self.before * (1 + GROWTH) + limit


def asks() -> Iterator[tuple[RGB, str]]:
    """Yield pictures and questions, for ever."""
    pictures = [load_image(SCENES / name) for name in _PICTURES]
    return zip(cycle(pictures), cycle(_QUESTIONS), strict=False)


def differing(threads: int, number: int) -> int:
    """Return how many of ``number`` answers in each thread differ from those of one thread."""
    vlm = Carve.load(POCKET, threads=1, image_cache_bytes=_CACHE)
    pairs = list(islice(asks(), len(_PICTURES) * len(_QUESTIONS)))
    alone = Carve.load(POCKET, threads=1, image_cache_bytes=0)
    expected = [content(alone.ask(*pair)) for pair in pairs]
    begin = Barrier(threads)

    def work(thread: int) -> int:
        begin.wait()
        order = [(thread + index) % len(pairs) for index in range(number)]
        return sum(content(vlm.ask(*pairs[index])) != expected[index] for index in order)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads)))


def growth(number: int, cache: int, warm: int = _WARM) -> Growth:
    """Return what ``number`` asks after the first ``warm`` add to the memory.

    Args:
        number: how many are measured.
        cache: bytes that the image cache may take.
        warm: how many go before.
    """
    vlm = Carve.load(POCKET, threads=1, image_cache_bytes=cache)
    before, sizes, cached = 0, list[int](), 0
    for index, (picture, question) in enumerate(islice(asks(), warm + number)):
        vlm.ask(picture, question)
        cached = max(cached, vlm.image_cache_nbytes)
        if index + 1 == warm:
            gc.collect()
            before = memory_of()["VmRSS"]
        elif index >= warm:
            sizes.append(memory_of()["VmRSS"])
    return Growth(before, max(sizes), cached)


def _report(parts: Sequence[tuple[str, bool]]) -> None:
    for text, good in parts:
        click.echo(f"{'ok  ' if good else 'FAIL'}  {text}")
    sys.exit(not all(good for _, good in parts))


@click.command(context_settings={"show_default": True})
@click.option("--threads", default=_THREADS, help="Threads that ask at once.")
@click.option("--asks", "number", default=_ASKS, help="Asks of each.")
@click.option("--alone", default=_ALONE, help="Asks whose memory is measured.")
def main(threads: int, number: int, alone: int) -> None:
    """Ask for a long time, and say whether answers and memory stayed as they were."""
    grown = {cache: growth(alone, cache) for cache in (0, _CACHE)}
    different = differing(threads, number)
    parts = [
        (
            f"{alone} asks, image cache of {cache // _MEGABYTE} MB: "
            f"{each.before / _MEGABYTE:.0f} MB, at most {each.most / each.before - 1:+.2%}, "
            f"{each.cached / _MEGABYTE:.1f} MB of it cached",
            each.allowed(cache),
        )
        for cache, each in grown.items()
    ]
    compared = f"{threads} threads x {number} asks: {different} differ from one thread's"
    _report([*parts, (compared, different == 0)])


if __name__ == "__main__":
    main()
