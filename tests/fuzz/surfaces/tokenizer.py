"""``tokenizer.json``, edited, and used in every way that answers use it."""

from __future__ import annotations

from pathlib import Path

from carve_models.manifest import read_manifest
from carve_models.names import TOKENIZER_FILE
from carve_runtime.prompt.text import Text
from tests.fuzz.files import DamagedFolder
from tests.support import copied_pocket

_QUESTION = "What word is on the purple square, é 東京 </s> <image>?"
_IDS = (0, 1, 5, 300, 5, 9)


class _Tokenizer:
    def __init__(self, folder: Path) -> None:
        bundle = copied_pocket(folder / "bundle")
        self._path = bundle / TOKENIZER_FILE
        decoder = read_manifest(bundle).decoder
        self._control = (decoder.image_token_id, *decoder.eos_token_ids)
        self._damaged = DamagedFolder(bundle, [TOKENIZER_FILE])
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Load the tokenizer, encode a question, decode and stream ids."""
        with self._damaged.damaged(data):
            text = Text(self._path, self._control)
            text.encode(_QUESTION)
            text.decode(_IDS)
            streamer = text.streamer(lambda _: None)
            for token in _IDS:
                streamer.push(token)
            streamer.end()


def prepare(folder: Path) -> _Tokenizer:
    """Return the surface."""
    return _Tokenizer(folder)
