"""A value that is computed when somebody reads it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Computes its value at the first :meth:`get`, once. Threads may share it."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Keep ``make`` until the value is asked for."""
        self._lock = Lock()
        self._make: Callable[[], T] | None = make

    def get(self) -> T:
        """Return the value; errors are those of the function that makes it."""
        with self._lock:
            if self._make is not None:
                self._value = self._make()
                self._make = None  # and what it held
            return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or another process, receives the value: functions do not travel."""
        return known, (self.get(),)


def known(value: T) -> Lazy[T]:
    """Return a value that is there already in the form of one that is not."""
    return Lazy(lambda: value)
