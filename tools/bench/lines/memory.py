"""Peak memory of a loaded and used bundle."""

from __future__ import annotations

from collections.abc import Iterator

from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.measure import spread
from tools.bench.memory import ask_once, peak_of

_BOUND = 1.3


def measure(context: Context) -> Iterator[Figure]:
    """Yield the peak over the weights plus the cache that is declared."""
    for subject in context.subjects:
        peaks = [
            peak_of(ask_once, subject.bundle, subject.question)
            for _ in range(max(1, context.rounds // 3))
        ]
        ratios = [peak / sum(declared.values()) for peak, declared in peaks]
        weights, cache = (peaks[0][1][name] / 1e6 for name in ("weights", "cache"))
        note = f"weights {weights:.0f} MB, cache {cache:.0f} MB"
        value = spread(ratios)
        yield Figure("peak memory / declared", subject.name, value, reach=_BOUND, note=note)
