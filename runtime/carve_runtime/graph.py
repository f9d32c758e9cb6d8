"""Run the graphs of a bundle with ONNX Runtime, keeping outputs where they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import BundleError, DependencyError, ProviderError, RunError
from carve_models.interface import require_tensors
from carve_models.manifest import Tensor
from carve_runtime.bundle import Bundle

#: A tensor that stays in ONNX Runtime's memory; ``.numpy()`` reads it.
OrtValue: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

CPU = "CPUExecutionProvider"
_ERRORS_ONLY = 3
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime late: the algorithm alone does not need it.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            f"ONNX Runtime cannot be imported ({error})",
            'install one of the extras: pip install "carve-vlm[cpu]" or "carve-vlm[gpu]"',
        ) from error
    module: ModuleType = onnxruntime
    return module


class Graph:
    """One loaded graph. Threads may share it: a run keeps no state."""

    def __init__(self, bundle: Bundle, name: str, providers: Sequence[str] = (CPU,)) -> None:
        """Load a graph and compare its interface with the manifest's.

        Raises:
            BundleError: ONNX Runtime cannot load the file, or its interface is another one.
            ProviderError: a provider that this ONNX Runtime does not have.
        """
        self._ort = import_onnxruntime()
        if isinstance(providers, str) or not providers:
            raise ProviderError(f"providers is {providers!r}", f'give a list such as ["{CPU}"]')
        available = self._ort.get_available_providers()
        missing = [provider for provider in providers if provider not in available]
        if missing:
            raise ProviderError(
                f"ONNX Runtime has no {missing[0]} here (available: {', '.join(available)})",
                "choose an available provider or install the package that brings it",
            )
        self.spec = bundle.manifest.graphs[name]
        path = bundle.path(self.spec.file)
        options = self._ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = self._ort.InferenceSession(
                os.fspath(path), options, providers=list(providers)
            )
        except Exception as error:  # ONNX Runtime's own classes derive from Exception only
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"{path} cannot be loaded: {reason}", "export the checkpoint again"
            ) from error
        if self._session.get_providers()[: len(providers)] != list(providers):
            raise ProviderError(
                f"ONNX Runtime could not start {providers[0]} and took "
                f"{self._session.get_providers()[0]}",
                "run carve-run doctor, and check the provider's own libraries",
            )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        require_tensors(self.spec.file, "inputs", _tensors(inputs), self.spec.inputs)
        require_tensors(self.spec.file, "outputs", _tensors(outputs), self.spec.outputs)

    def run(
        self, feeds: Mapping[str, Array | OrtValue], outputs: Sequence[str] | None = None
    ) -> list[OrtValue]:
        """Run once.

        Args:
            feeds: input arrays by name; values returned by an earlier run are passed on without
                a copy.
            outputs: names of the wanted outputs, all if ``None``.
        """
        values = {
            name: self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(feed))
            if isinstance(feed, np.ndarray)
            else feed
            for name, feed in feeds.items()
        }
        wanted = [tensor.name for tensor in self.spec.outputs] if outputs is None else list(outputs)
        try:
            results: list[OrtValue] = self._session.run_with_ort_values(wanted, values)
        except Exception as error:  # as above; out of memory, for instance
            reason = str(error).splitlines()[0]
            raise RunError(
                f"ONNX Runtime failed in {self.spec.file}: {reason}",
                "free memory, or check the bundle with carve-run info",
            ) from error
        return results


def _tensors(nodes: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=node.name, dtype=_DTYPES.get(node.type, node.type), shape=tuple(node.shape))
        for node in nodes
    )
