"""What is said of a frame of a stream, and when the model is asked about one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from carve_models.settings import require_range
from carve_runtime.result import CarveResult


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """When a frame is asked about, beside the :class:`carve_runtime.Settings` of the questions.

    Attributes:
        min_change: least change, in levels of 255, of a frame that is asked about; see
            :meth:`carve_runtime.ImageSession.change`. At 0 every frame is. The default lies above
            a camera's noise and below a small object (``docs/watch.md``).
        min_seconds: least seconds between two frames that are asked about; what comes before is
            passed over.
    """

    min_change: float = 20.0
    min_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            SettingsError: a value out of range.
        """
        require_range("min_change", self.min_change, 0.0)
        require_range("min_seconds", self.min_seconds, 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class Watched:
    """A frame of a stream.

    Attributes:
        index: of the frame, from 0.
        seconds: when it was taken, as its source says; else when it came, since the first.
        change: from the frame that was asked about last; ``None`` where nothing was compared: there
            is no such frame, or too little time has passed since.
        asked: whether the model was asked about this frame.
        results: what holds now, a result for each question: this frame's if it was asked about,
            else those of the last one that was, the same objects.
    """

    index: int
    seconds: float
    change: float | None
    asked: bool
    results: tuple[CarveResult, ...]

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer to each question."""
        return tuple(result.answer for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; a change that is infinite is ``None``."""
        finite = self.change is not None and math.isfinite(self.change)
        return {
            "frame": self.index,
            "seconds": self.seconds,
            "change": self.change if finite else None,
            "asked": self.asked,
            "results": [result.to_dict() for result in self.results],
        }

    def __repr__(self) -> str:
        shown = f"index={self.index}, seconds={self.seconds:g}, change={self.change}"
        return f"Watched({shown}, asked={self.asked}, answers={self.answers})"
