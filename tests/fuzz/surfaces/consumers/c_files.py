"""A bundle of which one file is damaged, opened by libcarve, and where that goes well asked."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from carve_models.manifest import read_manifest
from carve_models.names import MANIFEST_FILE, TOKENIZER_FILE
from tests.fuzz.files import DamagedFolder, tiny_picture
from tests.fuzz.libcarve import library, refusing
from tests.support import copied_pocket

_QUESTION = "What word is it, é 東京 </s>?"
_TOKENS = 2


class _CFiles:
    def __init__(self, folder: Path) -> None:
        self._library, self._picture = library(), tiny_picture()
        self._bundle = copied_pocket(folder / "bundle")
        graphs = [graph.file for graph in read_manifest(self._bundle).graphs.values()]
        names = [MANIFEST_FILE, TOKENIZER_FILE, *graphs]
        self._damaged = DamagedFolder(self._bundle, names, in_place=graphs, relist=True)
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Open, look and ask."""
        free = self._library.c
        with self._damaged.damaged(data), refusing(), ExitStack() as held:
            model = self._library.open(self._bundle, threads=1, sizes_only=1)
            held.callback(free.carve_model_free, model)
            view = self._library.look(model, self._picture)
            held.callback(free.carve_view_free, view)
            options = self._library.options(model, max_new_tokens=_TOKENS)
            result = self._library.ask(view, _QUESTION, options)
            held.callback(free.carve_result_free, result)
            self._library.read(result)


def prepare(folder: Path) -> _CFiles:
    """Return the surface."""
    return _CFiles(folder)
