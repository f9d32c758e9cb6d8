"""A graph whose runs somebody watches; any backend's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from carve_runtime.graph import Array, Graph, OnRun, Value


@dataclass(frozen=True)
class Watched:
    """Tells of every run before it starts, see :class:`carve_runtime.graph.SessionSettings`."""

    graph: Graph
    name: str
    on_run: OnRun

    @property
    def in_place(self) -> bool:
        """See :class:`Graph`; never, so that inputs stay as they were and hold nothing else."""
        return False

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`Graph`."""
        self.on_run(self.name, feeds)
        return self.graph.run(feeds, into, keep)

    def value(self, array: Array | Value) -> Value:
        """See :class:`Graph`."""
        return self.graph.value(array)
