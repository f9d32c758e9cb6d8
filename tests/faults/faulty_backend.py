"""A backend whose graphs fail at a chosen run, put around ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import local
from typing import Any, Literal, TypeVar, cast

from carve_runtime.backends import ort
from carve_runtime.backends.protocol import (
    Array,
    BackendSettings,
    BoundRun,
    Buffer,
    GraphRunner,
    InPlace,
    Value,
)
from carve_runtime.bundle import Bundle

T = TypeVar("T")
#: Whether the graph has run, and written into buffers in place, when the run fails.
When = Literal["before", "after"]


class Faults:
    """Counts the runs of each thread, and makes one of them fail."""

    def __init__(self) -> None:
        self._thread = local()

    @contextmanager
    def armed(self, number: int | None, when: When, error: BaseException) -> Iterator[None]:
        """Let this thread's run of that number fail; ``None`` only counts."""
        self._thread.plan = (number, when, error)
        self._thread.count = 0
        try:
            yield
        finally:
            self._thread.plan = None

    @property
    def runs(self) -> int:
        """Of this thread since it was armed."""
        return int(self._thread.count)

    def run(self, work: Callable[[], T]) -> T:
        """Run a graph, or fail."""
        plan = getattr(self._thread, "plan", None)
        if plan is None:
            return work()
        number, when, error = plan
        fails = self._thread.count == number
        self._thread.count += 1
        if fails and when == "before":
            raise error
        result = work()
        if fails:
            raise error
        return result


@dataclass(frozen=True)
class FaultyBackend:
    """Takes the place of ``carve_runtime.backends.ort``."""

    faults: Faults

    def load_graph(self, bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner:
        """See :func:`carve_runtime.backends.load_graph`."""
        return FaultyGraph(ort.load_graph(bundle, name, settings), self.faults)

    def describe(self) -> str:
        """Return what it is."""
        return "ONNX Runtime that fails"


@dataclass(frozen=True)
class FaultyGraph:
    """A graph of ONNX Runtime."""

    graph: GraphRunner
    faults: Faults

    @property
    def in_place(self) -> InPlace | None:
        """See :class:`GraphRunner`."""
        inner = self.graph.in_place
        return None if inner is None else cast(InPlace, _FaultyInPlace(inner, self.faults))

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`GraphRunner`."""
        return self.faults.run(lambda: self.graph.run(feeds, into, keep))

    def value(self, array: Array | Value) -> Value:
        """See :class:`GraphRunner`."""
        return self.graph.value(array)


class _FaultyInPlace:
    """Bound runs that fail; the rest is the graph's own."""

    def __init__(self, inner: InPlace, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def bind(self, feeds: Mapping[str, Value], into: Mapping[str, Value]) -> BoundRun:
        return _FaultyRun(self._inner.bind(feeds, into), self._faults)


@dataclass(frozen=True)
class _FaultyRun:
    inner: BoundRun
    faults: Faults

    @property
    def captures(self) -> bool:
        return self.inner.captures

    def __call__(
        self, updates: Mapping[Buffer, Array], reads: Sequence[Buffer], *, replay: bool = True
    ) -> list[Array]:
        return self.faults.run(lambda: self.inner(updates, reads, replay=replay))
