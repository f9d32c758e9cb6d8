"""The graphs of the steps around the model, in ONNX Runtime and in OpenVINO.

ONNX Runtime computes the filters in double precision, as Pillow does: everything is equal, bit for
bit on the goldens. OpenVINO's CPU plug-in computes doubles as singles; its bounds are the tests'
``SINGLE_*``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

from carve_runtime.backends.openvino import the_core

SINGLE_BYTES = 1  # levels of 255

Run = Callable[[dict[str, Any]], list[Any]]


def onnx_runtime(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: list(session.run(None, feeds))


def open_vino(path: Path) -> Run:
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = the_core().compile_model(path, "CPU", hints)
    return lambda feeds: list(model(feeds).values())
