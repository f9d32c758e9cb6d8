"""Lists of pictures and questions, JSON Lines and CSV, with bytes exchanged: gone through."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from carve_runtime.batch import Inputs
from tests.fuzz.mutations import byte_edits, damaged

_GOOD = {
    b".jsonl": b'{"image": "a.jpg", "question": "why?", "id": 7}\n\n{"tags": [1], "image": "b"}\n',
    b".csv": b'id,image,question\n7,a.jpg,"why, oh\n""why""?"\n8,b.jpg,\n',
}


def _lists(suffix: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy of damaged lists, the suffix of their name before them."""
    good = _GOOD[suffix]
    return byte_edits(len(good), most=3).map(lambda edits: suffix + b"\0" + damaged(good, edits))


class _Records:
    inputs = st.one_of([_lists(suffix) for suffix in _GOOD])

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def use(self, data: bytes) -> None:
        """Read all records of the list."""
        suffix, _, content = data.partition(b"\0")
        path = self._folder / f"list{suffix.decode()}"
        path.write_bytes(content)
        for record in Inputs([path], ["else?"]):
            assert record.question
            assert isinstance(record.label, str)


def prepare(folder: Path) -> _Records:
    """Return the surface."""
    return _Records(folder)
