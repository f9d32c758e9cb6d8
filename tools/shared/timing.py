"""Time several ways to do something, in turn, so that what else the machine does hits all alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

Way = Callable[[], object]
_SEED = 0


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles of some values."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def interleave(
    ways: Mapping[str, Way],
    rounds: int,
    warm: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Return each way's seconds, round by round; every round runs all ways in a random order.

    Args:
        ways: functions that do what is timed.
        rounds: how often each is timed.
        warm: how often each runs before.
        clock: what says the time: ``time.process_time`` counts the processor's for this process.
    """
    order, shuffle = list(ways), random.Random(_SEED).shuffle
    for _ in range(warm):
        for way in ways.values():
            way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            start = clock()
            ways[name]()
            seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of the ratio of two ways, taken round by round."""
    return spread([left / right for left, right in zip(seconds, base, strict=True)])
