"""What of ``engines.json`` is refused as a whole; ``tests/fuzz`` damages it at random."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from carve_models.engines import ENGINES_FILE, read_engines
from carve_runtime import EngineError
from carve_runtime.backends.tensorrt.plan import (
    open_engines,
    output_buffers,
    require_dtypes,
    require_gpu,
    require_inputs,
)
from tests.engine_lists import CONTENT, engine_list

GOOD = engine_list({"embed_tokens": "0" * 64})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    (folder / "embed_tokens.engine").write_bytes(CONTENT)
    return folder


def use(folder: Path, document: Any) -> None:
    """Do all that needs no GPU with a list."""
    (folder / ENGINES_FILE).write_text(json.dumps(document))
    manifest = open_engines(folder)
    require_gpu(manifest, "8.9", 0)
    for engine in manifest.engines.values():
        require_dtypes(engine, {})
        require_inputs(engine, {"ids": (1, 5)})
        output_buffers(engine, lambda _: (1, 5, 8))


def test_a_good_list(folder: Path) -> None:
    use(folder, GOOD)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("ranges",), {}, "length has no range"),
        (("ranges", "length"), [0, 4, 1 << 60], "range .* is not in order"),
        (("outputs", 0, "dtype"), "bfloat17", "embeds is 'bfloat17', which no engine computes"),
        (("inputs", 0, "shape"), [1, -5], "ids has the shape"),
        (("inputs",), [], "missing, or share a name"),
    ],
)
def test_what_is_refused(folder: Path, path: tuple[Any, ...], value: Any, message: str) -> None:
    document = copy.deepcopy(GOOD)
    holder = document["engines"]["embed_tokens"]
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (folder / ENGINES_FILE).write_text(json.dumps(document))
    with pytest.raises(EngineError, match=rf"malformed: .*{message}.*\. Build the engines again"):
        read_engines(folder)
