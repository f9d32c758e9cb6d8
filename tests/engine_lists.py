"""An ``engines.json`` that nothing is wrong with, to be damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

#: What the file of each engine holds; no TensorRT reads it.
CONTENT = b"an engine"


def engine_list(sources: Mapping[str, str]) -> dict[str, Any]:
    """Return a list of engines.

    Args:
        sources: SHA-256 of the graph that each is made of, by the engine's name.
    """
    entry = {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return {
        "target": "tensorrt",
        "version": "10.9",
        "compute_capabilities": ["8.9"],
        "precision": "fp16",
        "stripped": False,
        "engines": {
            name: {
                "file": f"{name}.engine",
                "source": source,
                "inputs": [{"name": "ids", "dtype": "int64", "shape": [1, "length"]}],
                "outputs": [{"name": "embeds", "dtype": "float32", "shape": [1, "length", 8]}],
                "ranges": {"length": [0, 4, 9]},
            }
            for name, source in sources.items()
        },
        "files": {f"{name}.engine": entry for name in sources},
        "schema_version": 1,
    }
