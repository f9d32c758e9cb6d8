"""``carve.json``, edited: opened, and where that goes well asked."""

from __future__ import annotations

from pathlib import Path

from carve_runtime import Carve
from tests.fuzz.files import DamagedFolder, tiny_picture
from tests.support import copied_pocket

_TOKENS = 2


class _Manifest:
    def __init__(self, folder: Path) -> None:
        self._bundle = copied_pocket(folder / "bundle")
        self._damaged = DamagedFolder(self._bundle, ["carve.json"])
        self._picture = tiny_picture()
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Open the bundle, and ask as it is set up."""
        with self._damaged.damaged(data):
            vlm = Carve.load(self._bundle, verify=False, threads=1, image_cache_bytes=0)
            vlm.ask(self._picture, "What is it?", max_new_tokens=_TOKENS)


def prepare(folder: Path) -> _Manifest:
    """Return the surface."""
    return _Manifest(folder)
