"""A greedy pass collects steps until it ends; what comes behind its end changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from carve_runtime.decoder.generation import Generation
from carve_runtime.prompt.answer import Streamer
from tests.comparing import assert_close

EOS = 3
MAP_TOKENS = np.array([1, 2])


class Heard(Streamer):
    """Remembers the ids of an answer, and its end."""

    def __init__(self) -> None:
        self.ids: list[int | None] = []

    def push(self, token: int) -> None:
        self.ids.append(token)

    def end(self) -> None:
        self.ids.append(None)


def step(token: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of four ids whose likeliest is ``token``, and attention of one layer."""
    logits = np.zeros(4, np.float32)
    logits[token] = 1
    return logits, np.arange(length, dtype=np.float32)[None] + token


@pytest.mark.parametrize(
    ("tokens", "ids", "steps"),
    [([0, EOS], (0,), 2), ([0, 1, 2], (0, 1, 2), 3), ([EOS], (), 1)],
    ids=["end of sequence", "limit", "at once"],
)
def test_nothing_follows_the_end(tokens: list[int], ids: tuple[int, ...], steps: int) -> None:
    heard = Heard()
    answer = Generation(MAP_TOKENS, 3, [EOS], heard)
    goes_on = [answer.take(*step(token, 5 + index)) for index, token in enumerate(tokens)]
    assert goes_on == [True] * (len(tokens) - 1) + [False]
    before = answer.result()
    assert not answer.take(*step(1, 9))
    after = answer.result()
    assert after.ids == before.ids == ids
    assert heard.ids == [*ids, None]
    assert after.attention.shape == (steps, 1, len(MAP_TOKENS))
    assert_close(after.attention, before.attention)
    likeliest = np.e / (np.e + 3)
    assert after.probability == pytest.approx(likeliest**steps, rel=1e-6)


def test_a_deferred_pass_is_told_at_once() -> None:
    heard = Heard()
    answer = Generation(MAP_TOKENS, 3, [EOS], heard, deferred=True)
    for index, token in enumerate([1, 2]):
        answer.take(*step(token, 5 + index))
    assert heard.ids == []
    answer.tell()
    assert heard.ids == [1, 2, None]
