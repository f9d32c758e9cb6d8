"""What one run at a time can use, for threads that run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

_Lent = TypeVar("_Lent")


class Pool(Generic[_Lent]):
    """Lends an idle object to each run, or makes one where all are lent. Thread-safe."""

    def __init__(self, make: Callable[[], _Lent]) -> None:
        """Start empty.

        Args:
            make: makes another object; never called by two threads at once.
        """
        self._make = make
        self._idle: list[_Lent] = []
        self._lock = Lock()

    @contextmanager
    def lend(self) -> Iterator[_Lent]:
        """Yield an object that nobody else has; one whose run fails is dropped."""
        with self._lock:  # not all libraries can make two at once
            lent = self._idle.pop() if self._idle else self._make()
        yield lent
        with self._lock:
            self._idle.append(lent)
