"""Questions: any text, special tokens, surrogates, no text at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from carve_runtime import Carve
from tests.fuzz.files import tiny_picture
from tests.fuzz.mutations import ODD

_PARTS = ["</s>", "<image>", "<s>", "<pad>", "<unk>", "{text}", "{", "▁", "\0", "\u202e", "\ufeff"]
_PARTS += ["e\u0301", "🏳️‍🌈", "\ud83d", " ", "\n", "What", "?"]
_LONG = 400

_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(_PARTS) | st.text(max_size=5), max_size=12).map("".join),
    st.tuples(st.sampled_from(_PARTS), st.integers(1, _LONG)).map(lambda pair: pair[0] * pair[1]),
    st.text(st.characters(), max_size=20),
)


class _Questions:
    inputs = (_TEXT | _TEXT | _TEXT | st.sampled_from(ODD)).map(
        lambda question: json.dumps(question).encode()
    )

    def __init__(self) -> None:
        self._vlm = Carve.load(verify=False, threads=1)
        self._picture = tiny_picture()

    def use(self, data: bytes) -> None:
        """Ask plainly, with the answer streamed, and through CARVE."""
        question: Any = json.loads(data)
        self._vlm.plain(self._picture, question, max_new_tokens=3, on_token=lambda _: None)
        self._vlm.ask(self._picture, question, max_new_tokens=1)


def prepare(_: Path) -> _Questions:
    """Return the surface."""
    return _Questions()
