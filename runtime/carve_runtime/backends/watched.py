"""A graph whose runs somebody watches; any backend's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from carve_runtime.backends.protocol import Array, GraphRunner, InPlace, OnRun, Value


@dataclass(frozen=True)
class Watched:
    """Tells of every run before it starts, see :attr:`BackendSettings.on_run`."""

    graph: GraphRunner
    name: str
    on_run: OnRun

    @property
    def in_place(self) -> InPlace | None:
        """Never: inputs stay as they were and hold nothing else."""
        return None

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`GraphRunner`."""
        self.on_run(self.name, feeds)
        return self.graph.run(feeds, into, keep)

    def value(self, array: Array | Value) -> Value:
        """See :class:`GraphRunner`."""
        return self.graph.value(array)
