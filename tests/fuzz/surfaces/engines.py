"""``engines.json``, edited, and all that is done with it where there is no GPU."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

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
from carve_runtime.bundle import Bundle, open_bundle
from tests.fuzz.files import DamagedFolder

_CONTENT = b"an engine"
_ENGINES = ("embed_tokens", "vision_encoder")


def _good(bundle: Bundle) -> dict[str, Any]:
    entry = {"size": len(_CONTENT), "sha256": hashlib.sha256(_CONTENT).hexdigest()}
    listed = bundle.manifest.files
    return {
        "target": "tensorrt",
        "version": "10.9",
        "compute_capabilities": ["8.9"],
        "precision": "fp16",
        "stripped": False,
        "engines": {
            name: {
                "file": f"{name}.engine",
                "source": listed[graph_file(name)].sha256,
                "inputs": [{"name": "ids", "dtype": "int64", "shape": [1, "length"]}],
                "outputs": [{"name": "embeds", "dtype": "float32", "shape": [1, "length", 8]}],
                "ranges": {"length": [0, 4, 9]},
            }
            for name in _ENGINES
        },
        "files": {f"{name}.engine": entry for name in _ENGINES},
        "schema_version": 1,
    }


class _Engines:
    def __init__(self, folder: Path) -> None:
        self._folder, self._bundle = folder, open_bundle()
        good = _good(self._bundle)
        (folder / ENGINES_FILE).write_text(json.dumps(good))
        for name in good["files"]:
            (folder / name).write_bytes(_CONTENT)
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
