"""ONNX Runtime, with any of its execution providers."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from carve_models.errors import (
    BundleError,
    CarveError,
    ProviderError,
    RunError,
)
from carve_models.graph_spec import GraphSpec, Tensor
from carve_models.interface import require_tensors
from carve_runtime.backends.protocol import Array, BackendSettings, GraphRunner, Value
from carve_runtime.backends.providers import PROVIDERS, Plugin
from carve_runtime.bundle import Bundle
from carve_runtime.late_import import late_import

_ERRORS_ONLY = 3
_NOT_OPTIMIZED = "optimization.disable_specified_optimizers"
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int64)": "int64",
}


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime late: the algorithm alone does not need it.

    Raises:
        DependencyError: it is not installed.
    """
    remedy = 'install one of the extras: pip install "carve-vlm[cpu]" or "carve-vlm[gpu]"'
    return late_import("onnxruntime", "ONNX Runtime", remedy)


def describe() -> str:
    """Return ONNX Runtime's version and its providers."""
    ort = import_onnxruntime()
    return f"ONNX Runtime {ort.__version__}: {', '.join(ort.get_available_providers())}"


def load_graph(bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner:
    """Load a graph, see :func:`carve_runtime.backends.load_graph`."""
    return OrtGraph(bundle, name, settings)


class OrtGraph:
    """A graph in ONNX Runtime; its values are ``OrtValue``."""

    def __init__(self, bundle: Bundle, name: str, settings: BackendSettings) -> None:
        self._ort = import_onnxruntime()
        self.spec: GraphSpec = bundle.manifest.graphs[name]
        self._provider = PROVIDERS[settings.provider or "cpu"]
        self._device = settings.device_number() if self._provider.memory else 0
        options = self._ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if settings.threads is not None:
            options.intra_op_num_threads = settings.threads
        if bundle.manifest.weights != "float32":
            # Folding would hold every widened weight in memory, further optimisation a copy of
            # every weight: as it is, the system maps the file and may drop its pages again.
            options.add_session_config_entry(_NOT_OPTIMIZED, "ConstantFolding")
            level = self._ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.graph_optimization_level = level
        providers = self._choose(options, settings)
        path = bundle.path(self.spec.file)
        try:
            self._session = self._ort.InferenceSession(
                os.fspath(path), options, providers=providers
            )
        except Exception as error:  # ONNX Runtime's own classes derive from Exception only
            raise self._unloadable(path, error) from error
        if self._session.get_providers()[0] != self._provider.name:
            raise ProviderError(
                f"ONNX Runtime could not start {self._provider.name} and took "
                f"{self._session.get_providers()[0]}",
                "run carve-run doctor, and check the provider's own libraries",
            )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        require_tensors(self.spec.file, "inputs", _tensors(inputs), self.spec.inputs)
        require_tensors(self.spec.file, "outputs", _tensors(outputs), self.spec.outputs)

    def _unloadable(self, path: Path, error: Exception) -> CarveError:
        reason = str(error).splitlines()[0]
        if isinstance(error, self._ort.capi.onnxruntime_pybind11_state.NotImplemented):
            return ProviderError(
                f"{self._provider.name} cannot compute all of {path}: {reason}",
                "choose another provider or backend (bfloat16 wants a GPU, or openvino), or a "
                "bundle in another precision",
            )
        return BundleError(
            f"{path} cannot be loaded: {reason}",
            "export the checkpoint again, or install a newer ONNX Runtime",
        )

    @property
    def in_place(self) -> bool:
        """See :class:`GraphRunner`; tried with the CPU's GroupQueryAttention alone."""
        return self._provider is PROVIDERS["cpu"]

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`GraphRunner`."""
        binding = self._session.io_binding()
        for name, feed in feeds.items():
            binding.bind_ortvalue_input(name, self.value(feed))
        into = into or {}
        names = [tensor.name for tensor in self.spec.outputs]
        for name in names:
            if name in into:
                binding.bind_ortvalue_output(name, into[name])
            elif name in keep and self._provider.memory is not None:
                binding.bind_output(name, self._provider.memory, self._device)
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
        return dict(zip(names, binding.get_outputs(), strict=True))

    def value(self, array: Array | Value) -> Value:
        """See :class:`GraphRunner`; the value shares the array's memory."""
        if not isinstance(array, np.ndarray):
            return array
        value: Value = self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
        return value

    def _choose(self, options: Any, settings: BackendSettings) -> list[Any] | None:
        """Return the providers of a session; of a plug-in, put the device into its options.

        Raises:
            ProviderError: the provider is not there.
        """
        provider, chosen = self._provider, self._provider.options(settings)
        available = self._ort.get_available_providers()
        if provider.name in available:
            rest = PROVIDERS[provider.rest] if provider.rest else None
            if rest is None or rest.name not in available:
                return [(provider.name, chosen)]
            return [(provider.name, chosen), (rest.name, rest.options(settings))]
        devices = self._plugin_devices(provider.plugin, settings) if provider.plugin else []
        if not devices or provider.plugin is None:
            raise ProviderError(
                f"ONNX Runtime {self._ort.__version__} has no {provider.name} here "
                f"(available: {', '.join(available)})",
                f"choose an available provider, or install {provider.install}",
            )
        options.add_provider_for_devices(devices[:1], dict(provider.plugin.fixed))
        return None

    def _plugin_devices(self, plugin: Plugin, settings: BackendSettings) -> list[Any]:
        """Return the chosen device of a plug-in, if it is installed and finds one."""
        name = self._provider.name
        try:
            library = import_module(plugin.module)
        except ImportError:
            return []
        if not any(device.ep_name == name for device in self._ort.get_ep_devices()):
            self._ort.register_execution_provider_library(name, library.get_library_path())
        devices = [device for device in self._ort.get_ep_devices() if device.ep_name == name]
        if plugin.metadata is None:
            return devices[self._device :]
        chosen = settings.device or self._provider.first
        return [each for each in devices if each.ep_metadata.get(plugin.metadata) == chosen]


def _tensors(nodes: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=node.name, dtype=_DTYPES.get(node.type, node.type), shape=tuple(node.shape))
        for node in nodes
    )
