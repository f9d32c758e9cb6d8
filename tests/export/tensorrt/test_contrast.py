"""The contrast as a graph for TensorRT computes what the Python function does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from carve_export.tensorrt.contrast import write_contrast
from carve_runtime import fuse_contrast
from tests.comparing import assert_close

GRID = (4, 5)
CHOSEN = [0, 2]  # of three layers
#: Weights of three steps, and how the function names them.
STEPS: list[tuple[Any, list[float]]] = [
    ("first", [1, 0, 0]),
    ("all", [1, 2, 3]),
    ("last", [0, 0, 1]),
]


@pytest.mark.parametrize("regularizer", [0.0, 1e-8, 0.01])
@pytest.mark.parametrize(("steps", "weights"), STEPS)
def test_the_same_contrast(
    steps: Any, weights: list[float], regularizer: float, tmp_path: Path
) -> None:
    """Also where a layer or a step that is left out holds zeros alone."""
    question, general = np.random.default_rng(0).random((2, 3, 3, 20), np.float32) + 0.01
    question[:, 1] = general[:, 1] = 0
    for step, weight in enumerate(weights):
        if weight == 0:
            question[step] = general[step] = 0
    session = ort.InferenceSession(write_contrast(tmp_path))
    feeds = {
        "question_attention": question,
        "general_attention": general,
        "step_weights": np.array(weights, np.float32),
        "layer_weights": np.isin(range(3), CHOSEN).astype(np.float32),
        "regularizer": np.array([regularizer], np.float32),
    }
    (fused,) = session.run(None, feeds)
    wanted = fuse_contrast(
        question,
        general,
        grid=GRID,
        image_size=GRID[::-1],
        layers=CHOSEN,
        steps=steps,
        regularizer=regularizer,
    )
    assert_close(fused, wanted.ravel(), rtol=1e-5)
