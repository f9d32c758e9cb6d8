"""Where a model looks in a clip: a map for each moment, and how much each of them receives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_runtime.attention.attention import Attention


@dataclass(frozen=True)
class ClipAttention:
    """What a greedy pass about a clip has attended to.

    Attributes:
        moments: one for each run of the vision encoder, in order; ``moments[i].map()`` is where in
            its frames the model looks. They are of one pass: prompt, words and rows are the same.
        seconds: when each moment is shown, from the start of the clip.
    """

    moments: tuple[Attention, ...]
    seconds: tuple[float, ...]

    @property
    def answer(self) -> str:
        """The text of the pass."""
        return self.moments[0].answer

    def over_time(
        self, step: int = 0, layer: int | None = None, head: int | None = None
    ) -> NDArray[np.float64]:
        """Return the share of the attention that each moment receives, (moments,).

        Arguments and errors as for :meth:`carve_runtime.Attention.row`.
        """
        row = self.moments[0].row(step, layer, head)
        return np.array([row[moment.map_tokens].sum(dtype=np.float64) for moment in self.moments])

    def __repr__(self) -> str:
        return f"ClipAttention({len(self.moments)} moments, {self.moments[0]!r})"
