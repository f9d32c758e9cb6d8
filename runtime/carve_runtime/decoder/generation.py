"""One greedy pass while it runs, and what it leaves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_runtime.prompt.answer import Streamer


@dataclass(frozen=True)
class Pass:
    """One greedy pass.

    Attributes:
        ids: the answer's token ids, without the end-of-sequence id.
        attention: (T, L, N) float32, of each step's last position to the tokens of the first
            image's attention map, for every tapped layer.
        probability: of the answer, its end included: the product over the steps.
    """

    ids: tuple[int, ...]
    attention: NDArray[np.float32]
    probability: float


class Generation:
    """Collects the steps of a greedy pass until an end-of-sequence id or the limit."""

    def __init__(
        self,
        map_tokens: NDArray[np.int64],
        limit: int,
        eos_token_ids: Collection[int],
        streamer: Streamer | None,
        *,
        deferred: bool = False,
    ) -> None:
        """Begin.

        Args:
            map_tokens: (N,), where the tokens of the attention map stand.
            limit: most steps.
            eos_token_ids: ids that end an answer.
            streamer: is told of each id of the answer, and of its end.
            deferred: not before :meth:`tell`.
        """
        self.ids: list[int] = []
        #: (1,), the likeliest id of the last step, the end included.
        self.last_id: NDArray[np.int64] = np.empty(0, np.int64)
        self._map_tokens, self._limit, self._eos = map_tokens, limit, eos_token_ids
        self._streamer, self._deferred = streamer, deferred
        self._rows: list[NDArray[np.float32]] = []
        self._probability = 1.0
        self._ended = False

    def take(self, logits: NDArray[np.float32], attention: NDArray[np.float32]) -> bool:
        """Take a step's (V,) logits and (L, positions) attention; return whether it goes on.

        What comes behind the end changes nothing.
        """
        if self._ended:
            return False
        self._rows.append(attention[:, self._map_tokens])
        token = int(logits.argmax())
        self.last_id = np.array([token], np.int64)
        self._probability *= _probability(logits, token)
        is_end = token in self._eos
        self._ended = is_end or len(self._rows) == self._limit
        if not is_end:
            self.ids.append(token)
        if self._streamer is not None and not self._deferred:
            if not is_end:
                self._streamer.push(token)
            if self._ended:
                self._streamer.end()
        return not self._ended

    def tell(self) -> None:
        """Tell the streamer of the whole answer at once."""
        if self._streamer is not None:
            for token in self.ids:
                self._streamer.push(token)
            self._streamer.end()

    def result(self) -> Pass:
        """Return what the pass has left."""
        return Pass(tuple(self.ids), np.stack(self._rows), self._probability)


def _probability(logits: NDArray[np.float32], token: int) -> float:
    """Return the softmax of (V,) logits at one token."""
    return float(1 / np.exp(logits - logits[token]).sum(dtype=np.float64))
