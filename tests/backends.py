"""The backends that the protocol's tests run over, each with how it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from carve_runtime.graph import SessionSettings

#: By name; those on a GPU have not been run yet.
CPU_SESSIONS = {
    "ort-cpu": SessionSettings(threads=1),
    "openvino-cpu": SessionSettings(backend="openvino", threads=1),
}
GPU_SESSIONS = {
    "ort-cuda": SessionSettings(provider="cuda"),
    "ort-tensorrt": SessionSettings(provider="tensorrt"),
    "ort-nv_tensorrt_rtx": SessionSettings(provider="nv_tensorrt_rtx"),
}


def backends() -> list[Any]:
    """Return pytest's parameters, (name,), those on a GPU marked."""
    return [
        *(pytest.param(name, id=name) for name in CPU_SESSIONS),
        *(pytest.param(name, id=name, marks=pytest.mark.gpu) for name in GPU_SESSIONS),
    ]


def session(name: str) -> SessionSettings:
    """Return how a backend is asked for."""
    return (CPU_SESSIONS | GPU_SESSIONS)[name]
