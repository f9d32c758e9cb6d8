"""What one run at a time can use, for threads that run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_Lent = TypeVar("_Lent")


class Pool(Generic[_Lent]):
    """Lends an idle object to each run, or makes one where all are lent. Thread-safe."""

    def __init__(self, make: Callable[[], _Lent]) -> None:
        """Start empty.

        Args:
            make: makes another object.
        """
        self._make = make
        self._idle: list[_Lent] = []

    @contextmanager
    def lend(self) -> Iterator[_Lent]:
        """Yield an object that nobody else has; one whose run fails is dropped."""
        try:
            lent = self._idle.pop()  # one step for all threads, as is append
        except IndexError:
            lent = self._make()
        yield lent
        self._idle.append(lent)
