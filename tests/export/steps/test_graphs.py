"""The default bundle's step graphs are those that the exporter builds."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from carve_models import names
from tests.support import POCKET


@pytest.mark.parametrize("name", [names.CARVE_REFINE, names.PREPROCESS])
def test_the_committed_graph_is_that_of_the_code(name: str, built: Path) -> None:
    """If not, remake the default bundle as CONTRIBUTING.md says."""
    fresh, committed = (onnx.load(folder / names.graph_file(name)) for folder in (built, POCKET))
    assert fresh.graph.node
    for actual, expected in zip(fresh.graph.node, committed.graph.node, strict=True):
        assert actual == expected
    assert fresh.graph == committed.graph
