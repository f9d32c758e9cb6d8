"""From a question to the graphs: few layers, and no prompt is encoded twice."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest

from carve_runtime import Carve
from carve_runtime.backends.ort import OrtGraph
from carve_runtime.prompt.text import Text
from tests.support import POCKET

IMAGE = POCKET / "example.jpg"
QUESTION = "What word is on the purple square?"
#: From ``Carve.ask`` to the run of a graph, both counted.
MOST_FRAMES = 6


@contextmanager
def calls_of(code: CodeType) -> Iterator[list[tuple[list[str], dict[str, Any]]]]:
    """Collect every call of a function: the names of the frames above it, and its arguments."""
    calls: list[tuple[list[str], dict[str, Any]]] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is code:
            arguments = dict(frame.f_locals)
            above, caller = [], frame
            while caller.f_code is not Carve.ask.__code__ and caller.f_back is not None:
                above.append(caller.f_code.co_name)
                caller = caller.f_back
            calls.append((above[::-1], arguments))

    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("final_prompt", ["pair", "refined"])
def test_few_frames_lie_between_a_question_and_the_graphs(pocket: Carve, final_prompt: Any) -> None:
    with calls_of(OrtGraph.run.__code__) as runs:
        result = pocket.ask(IMAGE, QUESTION, final_prompt=final_prompt)
    # Encoder and token embedding of two images, and every step of three passes.
    assert len(runs) > result.counts.decoder_runs + result.counts.vision_runs
    deepest, _ = max(runs, key=lambda run: len(run[0]))
    assert 1 + len(deepest) <= MOST_FRAMES, " > ".join(["ask", *deepest])


def test_a_question_is_encoded_once(pocket: Carve) -> None:
    with calls_of(Text.encode.__code__) as encoded:
        pocket.ask(IMAGE, QUESTION, final_prompt="pair")
    texts = Counter(arguments["text"] for _, arguments in encoded)
    assert sum(QUESTION in text for text in texts) == 1
    assert max(texts.values()) == 1
    # The general instruction was encoded when the bundle was loaded.
    assert not any(pocket.manifest.prompts.general in text for text in texts)
