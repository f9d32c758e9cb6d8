"""Run the graphs of a bundle with ONNX Runtime, keeping outputs where they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import BundleError, DependencyError, ProviderError, RunError
from carve_models.interface import require_tensors
from carve_models.manifest import Tensor
from carve_models.settings import require_count
from carve_runtime.bundle import Bundle

#: A tensor that stays in ONNX Runtime's memory; ``.numpy()`` reads it.
OrtValue: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

CPU = "CPUExecutionProvider"
_ERRORS_ONLY = 3
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """How ONNX Runtime runs the graphs.

    Attributes:
        providers: execution providers, best first.
        threads: threads of one graph run; ONNX Runtime's choice, one a core, if ``None``.
    """

    providers: Sequence[str] = (CPU,)
    threads: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.providers, str) or not self.providers:
            raise ProviderError(
                f"providers is {self.providers!r}", f'give a list such as ["{CPU}"]'
            )
        if self.threads is not None:
            require_count("threads", self.threads)


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

    def __init__(self, bundle: Bundle, name: str, settings: SessionSettings) -> None:
        """Load a graph and compare its interface with the manifest's.

        Raises:
            BundleError: ONNX Runtime cannot load the file, or its interface is another one.
            ProviderError: a provider that this ONNX Runtime does not have.
        """
        self._ort = import_onnxruntime()
        providers = list(settings.providers)
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
        if settings.threads is not None:
            options.intra_op_num_threads = settings.threads
        try:
            self._session = self._ort.InferenceSession(
                os.fspath(path), options, providers=providers
            )
        except Exception as error:  # ONNX Runtime's own classes derive from Exception only
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"{path} cannot be loaded: {reason}", "export the checkpoint again"
            ) from error
        if self._session.get_providers()[: len(providers)] != providers:
            raise ProviderError(
                f"ONNX Runtime could not start {providers[0]} and took "
                f"{self._session.get_providers()[0]}",
                "run carve-run doctor, and check the provider's own libraries",
            )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        require_tensors(self.spec.file, "inputs", _tensors(inputs), self.spec.inputs)
        require_tensors(self.spec.file, "outputs", _tensors(outputs), self.spec.outputs)

    def run(
        self, feeds: Mapping[str, Array | OrtValue], into: Mapping[str, OrtValue] | None = None
    ) -> dict[str, OrtValue]:
        """Run once and return every output by name.

        Args:
            feeds: inputs by name; neither arrays nor values of an earlier run are copied.
            into: values that receive outputs in place of new ones; the caller keeps them. One may
                be an input too, where the graph's operators allow it.
        """
        binding = self._session.io_binding()
        for name, feed in feeds.items():
            binding.bind_ortvalue_input(name, self.value(feed))
        into = into or {}
        wanted = [tensor.name for tensor in self.spec.outputs]
        for name in wanted:
            if name in into:
                binding.bind_ortvalue_output(name, into[name])
            else:
                binding.bind_output(name)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # as above; out of memory, for instance
            reason = str(error).splitlines()[0]
            raise RunError(
                f"ONNX Runtime failed in {self.spec.file}: {reason}",
                "free memory, or check the bundle with carve-run info",
            ) from error
        return dict(zip(wanted, binding.get_outputs(), strict=True))

    def value(self, array: Array | OrtValue) -> OrtValue:
        """Return a value that shares the array's memory; a value is returned as it is."""
        if not isinstance(array, np.ndarray):
            return array
        return self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _tensors(nodes: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=node.name, dtype=_DTYPES.get(node.type, node.type), shape=tuple(node.shape))
        for node in nodes
    )
