"""The backends that the protocol's tests run over, each with how it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carve_export.tensorrt.build import EngineOptions, build_engines
from carve_export.tensorrt.builder import BuildOptions
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.backends.providers import PROVIDERS
from carve_runtime.backends.tensorrt.cuda import compute_capability

#: By name; those on a GPU have not been run yet.
CPU_SESSIONS = {
    "ort-cpu": BackendSettings(threads=1),
    "openvino-cpu": BackendSettings(backend="openvino", threads=1),
}
#: Builds its engines first, see :func:`session`.
TENSORRT = "tensorrt"
GPU_SESSIONS = {
    "ort-cuda": BackendSettings(provider="cuda"),
    "ort-tensorrt": BackendSettings(provider="tensorrt"),
    "ort-nv_tensorrt_rtx": BackendSettings(provider="nv_tensorrt_rtx"),
}


def backends() -> list[Any]:
    """Return pytest's parameters, (name,), those on a GPU marked."""
    return [
        *(pytest.param(name, id=name) for name in CPU_SESSIONS),
        *(pytest.param(name, id=name, marks=pytest.mark.gpu) for name in (*GPU_SESSIONS, TENSORRT)),
    ]


def session(name: str, bundle: Path) -> BackendSettings:
    """Return how a backend is asked for, to run a bundle."""
    if name == TENSORRT:
        engines = bundle.with_name(f"{bundle.name}-engines")
        build = BuildOptions(compute_capabilities=(compute_capability(),))
        options = EngineOptions(target="tensorrt_rtx", build=build, overwrite=True)
        build_engines(bundle, engines, options)
        return BackendSettings(backend="tensorrt", engines=engines)
    return (CPU_SESSIONS | GPU_SESSIONS)[name]


def take_the_cpu_for_a_device(monkeypatch: pytest.MonkeyPatch, **provider: Any) -> None:
    """Let graphs on the CPU go the way of those on a device, whose memory is the host's.

    Args:
        monkeypatch: pytest's.
        **provider: other fields of :class:`carve_runtime.backends.providers.Provider`.
    """
    monkeypatch.setitem(PROVIDERS, "cpu", replace(PROVIDERS["cpu"], memory="cpu", **provider))
