"""Backends: each loads a bundle's graphs as :class:`carve_runtime.backends.protocol.GraphRunner`.

A backend's packages are imported when it is asked for. One that is missing is an error that names
what is there and what to install; no backend or provider stands in for another.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Protocol

from carve_models.errors import ProviderError
from carve_runtime.backends import openvino, ort
from carve_runtime.backends.protocol import BackendName, BackendSettings, GraphRunner
from carve_runtime.backends.tensorrt import runner as tensorrt
from carve_runtime.backends.watched import Watched
from carve_runtime.bundle import Bundle

_log = logging.getLogger(__name__)


class _Backend(Protocol):
    def load_graph(self, bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner: ...

    def describe(self) -> str: ...


BACKENDS: dict[BackendName, _Backend] = {"ort": ort, "openvino": openvino, "tensorrt": tensorrt}


def load_graph(bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner:
    """Load one graph and compare its interface with the manifest's.

    Raises:
        BundleError: the backend cannot load the file, or its interface is another one.
        DependencyError: the backend is not installed.
        EngineError: an engine does not fit the bundle or this machine.
        ProviderError: the provider or device is not there, or the bundle's dtype cannot be fed.
    """
    if bundle.manifest.dtype == "bfloat16":
        raise ProviderError(
            f"{bundle.folder} computes in bfloat16, and numpy has no such arrays to feed it with",
            "export the checkpoint with --dtype float16; bfloat16 is for TensorRT engines",
        )
    began = perf_counter()
    graph = BACKENDS[settings.backend].load_graph(bundle, name, settings)
    where = " ".join(filter(None, (settings.backend, settings.provider, settings.device)))
    _log.info("loaded %s with %s in %.3f s", name, where, perf_counter() - began)
    return graph if settings.on_run is None else Watched(graph, name, settings.on_run)
