"""``engines.json``, edited, and all that is done with it where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path

from carve_models.engines import ENGINES_FILE
from carve_models.names import graph_file
from carve_runtime.backends.tensorrt.plan import (
    check_engine,
    open_engines,
    output_buffers,
    require_dtypes,
    require_gpu,
    require_inputs,
)
from carve_runtime.bundle import open_bundle
from tests.engine_lists import CONTENT, engine_list
from tests.fuzz.files import DamagedFolder

_ENGINES = ("embed_tokens", "vision_encoder")


class _Engines:
    def __init__(self, folder: Path) -> None:
        self._folder, self._bundle = folder, open_bundle()
        listed = self._bundle.manifest.files
        good = engine_list({name: listed[graph_file(name)].sha256 for name in _ENGINES})
        (folder / ENGINES_FILE).write_text(json.dumps(good))
        for name in good["files"]:
            (folder / name).write_bytes(CONTENT)
        self._damaged = DamagedFolder(folder, [ENGINES_FILE])
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Do all that needs no GPU with the list."""
        with self._damaged.damaged(data):
            manifest = open_engines(self._folder)
            require_gpu(manifest, "8.9", 0)
            for engine in manifest.engines.values():
                require_dtypes(engine, {})
                require_inputs(engine, {"ids": (1, 5)})
                output_buffers(engine, lambda _: (1, 5, 8))
            for name in manifest.engines:
                check_engine(self._folder, manifest, self._bundle, name, "10.9")


def prepare(folder: Path) -> _Engines:
    """Return the surface."""
    return _Engines(folder)
