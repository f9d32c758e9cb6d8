"""An estimate with its uncertainty."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float

    @property
    def percent(self) -> Interval:
        """The same in percent."""
        return Interval(*(100 * value for value in self))
