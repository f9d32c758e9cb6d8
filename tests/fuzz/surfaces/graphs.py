"""Graphs with bytes exchanged, in a bundle whose sums nobody compares: loaded and asked."""

from __future__ import annotations

from pathlib import Path

from carve_models.manifest import read_manifest
from carve_runtime import Carve
from tests.fuzz.files import DamagedFolder, tiny_picture
from tests.support import copied_pocket

_TOKENS = 2


class _Graphs:
    def __init__(self, folder: Path) -> None:
        self._bundle = copied_pocket(folder / "bundle")
        files = [graph.file for graph in read_manifest(self._bundle).graphs.values()]
        self._damaged = DamagedFolder(self._bundle, files, in_place=files)
        self._picture = tiny_picture()
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Open the bundle, and ask in both ways that graphs are used in."""
        with self._damaged.damaged(data):
            vlm = Carve.load(self._bundle, verify=False, threads=1, image_cache_bytes=0)
            with vlm.open(self._picture) as session:
                session.ask("What is it?", max_new_tokens=_TOKENS)
            vlm.ask(self._picture, "What is it?", steps="first", early_exit=True, max_new_tokens=1)


def prepare(folder: Path) -> _Graphs:
    """Return the surface."""
    return _Graphs(folder)
