"""Large weights go into a file beside a graph, small ones into the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest

from carve_export.onnx_files import save_model
from carve_models import names
from tests.support import POCKET

EMBED = POCKET / names.graph_file(names.EMBED_TOKENS)


def weights(path: Path) -> list[bytes]:
    tensors = onnx.load(path).graph.initializer
    return [onnx.numpy_helper.to_array(tensor).tobytes() for tensor in tensors]


@pytest.mark.parametrize("read", [onnx.load, ir.load])
def test_a_smaller_model_replaces_a_larger_one(read: Callable[[Path], Any], tmp_path: Path) -> None:
    """Nothing is left beside it, whether or not its weights lay there."""
    path, beside = tmp_path / "model.onnx", tmp_path / "model.onnx_data"
    save_model(onnx.load(EMBED), path, external_above=0)
    assert beside.stat().st_size > path.stat().st_size
    save_model(read(path), path)
    assert [*tmp_path.iterdir()] == [path]
    assert weights(path) == weights(EMBED)
