"""ONNX Runtime that fails: a typed error, and nothing of its own on the terminal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from carve_models import names
from carve_runtime import RunError
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import BackendSettings, InPlace
from carve_runtime.bundle import open_bundle


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    graph = load_graph(open_bundle(), names.EMBED_TOKENS, BackendSettings())
    capfd.readouterr()
    with pytest.raises(RunError, match=r"embed_tokens\.onnx: .*out of data bounds.*\. Free memory"):
        graph.run({names.INPUT_IDS: np.array([[10**9]])})
    assert capfd.readouterr() == ("", "")


#: Bytes that no machine has.
SHAPE = 1 << 30, 1 << 30


@pytest.mark.parametrize(
    "make",
    [
        lambda graph: graph.empty(SHAPE, np.dtype(np.float32)),
        lambda graph: graph.zeros(SHAPE, np.dtype(np.float32)),
        lambda graph: graph.zeros((2,), np.dtype(np.float32)).update_inplace(np.zeros((3,))),
    ],
    ids=["empty", "zeros", "another size"],
)
def test_no_memory_for_a_buffer(make: Callable[[InPlace], object]) -> None:
    graph = load_graph(open_bundle(), names.DECODER_LOWER, BackendSettings()).in_place
    assert graph is not None
    with pytest.raises(RunError, match=r"a buffer cannot be (made|written): .*\. Free memory"):
        make(graph)
