"""A bundle of which one file is damaged, opened by the JavaScript library, and asked."""

from __future__ import annotations

from pathlib import Path

from carve_models.names import MANIFEST_FILE, TOKENIZER_FILE
from tests.fuzz.files import DamagedFolder
from tests.fuzz.node import Node
from tests.support import POCKET, copied_pocket


class _JsFiles:
    def __init__(self, folder: Path) -> None:
        self._node = Node("library.mjs", str(POCKET))
        self._bundle = copied_pocket(folder / "bundle")
        names = [MANIFEST_FILE, TOKENIZER_FILE]
        self._damaged = DamagedFolder(self._bundle, names, relist=True)
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Open and ask."""
        with self._damaged.damaged(data):
            self._node.use({"use": "open", "folder": str(self._bundle)})


def prepare(folder: Path) -> _JsFiles:
    """Return the surface."""
    return _JsFiles(folder)
