"""The lines of the table, one module each: a context in, figures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.bench.context import Context
from tools.bench.lines import (
    carve,
    cold,
    host,
    memory,
    options,
    peers,
    refine,
    released,
    scaling,
    scout,
    tap,
)
from tools.shared.figures import Figure

Line = Callable[[Context], Iterator[Figure]]

LINES: dict[str, Line] = {
    "carve": carve.measure,
    "scout": scout.measure,
    "host": host.measure,
    "released": released.measure,
    "tap": tap.measure,
    "peers": peers.measure,
    "options": options.measure,
    "cold": cold.measure,
    "refine": refine.measure,
    "refine-graph": refine.measure_graph,
    "memory": memory.measure,
    "scaling": scaling.measure,
}
