"""The backends that the protocol's tests run over, each with how it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carve_export.engines.build import EngineOptions, build_engines
from carve_export.engines.tensorrt import BuildOptions
from carve_runtime.backends.cuda import compute_capability
from carve_runtime.graph import SessionSettings

#: By name; those on a GPU have not been run yet.
CPU_SESSIONS = {
    "ort-cpu": SessionSettings(threads=1),
    "openvino-cpu": SessionSettings(backend="openvino", threads=1),
}
#: Builds its engines first, see :func:`session`.
TENSORRT = "tensorrt"
GPU_SESSIONS = {
    "ort-cuda": SessionSettings(provider="cuda"),
    "ort-tensorrt": SessionSettings(provider="tensorrt"),
    "ort-nv_tensorrt_rtx": SessionSettings(provider="nv_tensorrt_rtx"),
}


def backends() -> list[Any]:
    """Return pytest's parameters, (name,), those on a GPU marked."""
    return [
        *(pytest.param(name, id=name) for name in CPU_SESSIONS),
        *(pytest.param(name, id=name, marks=pytest.mark.gpu) for name in (*GPU_SESSIONS, TENSORRT)),
    ]


def session(name: str, bundle: Path) -> SessionSettings:
    """Return how a backend is asked for, to run a bundle."""
    if name == TENSORRT:
        engines = bundle.with_name(f"{bundle.name}-engines")
        build = BuildOptions(compute_capabilities=(compute_capability(),))
        options = EngineOptions(target="tensorrt_rtx", build=build, overwrite=True)
        build_engines(bundle, engines, options)
        return SessionSettings(backend="tensorrt", engines=engines)
    return (CPU_SESSIONS | GPU_SESSIONS)[name]
