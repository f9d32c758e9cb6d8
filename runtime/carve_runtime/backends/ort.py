"""ONNX Runtime, with any of its execution providers."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from carve_models import names
from carve_models.errors import (
    BundleError,
    CarveError,
    ProviderError,
    RunError,
    first_line,
)
from carve_models.graph_spec import GraphSpec, Tensor
from carve_models.interface import require_tensors
from carve_runtime.backends.ort_install import EXTRAS, advice
from carve_runtime.backends.ort_providers import choose_provider, require_started
from carve_runtime.backends.ort_values import (
    DTYPES,
    OrtBoundRun,
    OrtBuffer,
    OrtRow,
    in_turn,
    memory_errors,
)
from carve_runtime.backends.protocol import (
    Array,
    BackendSettings,
    BoundRun,
    Buffer,
    GraphRunner,
    InPlace,
    Value,
)
from carve_runtime.backends.providers import PROVIDERS
from carve_runtime.bundle import Bundle
from carve_runtime.late_import import late_import

#: Nothing but what ends the process: errors are raised, and say the same.
_QUIET = 4
_NOT_OPTIMIZED = "optimization.disable_specified_optimizers"
_WEIGHTS_APART = "session.use_device_allocator_for_initializers"
_CAPTURE = "gpu_graph_id"
_NO_CAPTURE = -1
#: ONNX Runtime keeps every recording until the session ends; more runs than these go unrecorded.
_MOST_CAPTURES = 32


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime late: the algorithm alone does not need it.

    Raises:
        DependencyError: it is not installed, or damaged.
    """
    remedy = advice(*EXTRAS)
    return late_import("onnxruntime", "ONNX Runtime", remedy, needs="InferenceSession")


def describe() -> str:
    """Return ONNX Runtime's version and its providers."""
    ort = import_onnxruntime()
    return f"ONNX Runtime {ort.__version__}: {', '.join(ort.get_available_providers())}"


def load_graph(bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner:
    """Load a graph, see :func:`carve_runtime.backends.load_graph`."""
    return OrtGraph(bundle, name, settings)


class OrtGraph:
    """A graph in ONNX Runtime; its values are those of :mod:`carve_runtime.backends.ort_values`."""

    def __init__(self, bundle: Bundle, name: str, settings: BackendSettings) -> None:
        self._ort = import_onnxruntime()
        self.spec: GraphSpec = bundle.manifest.graphs[name]
        self._provider = PROVIDERS[settings.provider or "cpu"]
        self._device = settings.device_number() if self._provider.memory else 0
        appends = name in names.DECODERS and bundle.manifest.profile == "ort"
        self._appends = appends and bundle.manifest.dtype in self._provider.appends
        self._records = self._appends and settings.cuda_graph and bool(self._provider.capture)
        self._captures = chain(range(1, _MOST_CAPTURES + 1), repeat(None))
        options = self._ort.SessionOptions()
        options.log_severity_level = _QUIET
        if settings.threads is not None:
            options.intra_op_num_threads = settings.threads
        if bundle.manifest.weights != "float32":
            # Folding would hold every widened weight in memory, further optimisation a copy of
            # every weight: as it is, the system maps the file and may drop its pages again.
            options.add_session_config_entry(_NOT_OPTIMIZED, "ConstantFolding")
            level = self._ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.graph_optimization_level = level
        if self._provider.memory is not None:  # else room is reserved in powers of two
            options.add_session_config_entry(_WEIGHTS_APART, "1")
        capture = self._provider.capture if self._records else {}
        providers = choose_provider(self._ort, options, self._provider, settings, capture)
        path = bundle.path(self.spec.file)
        try:
            self._session = in_turn(
                lambda: self._ort.InferenceSession(
                    os.fspath(path), options, providers=providers, enable_fallback=0
                ),
                on_device=self.on_device,
            )
        except Exception as error:  # ONNX Runtime's own classes derive from Exception only
            raise self._unloadable(path, error) from error
        require_started(self._provider, self._session)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        require_tensors(self.spec.file, "inputs", _tensors(inputs), self.spec.inputs)
        require_tensors(self.spec.file, "outputs", _tensors(outputs), self.spec.outputs)

    def _unloadable(self, path: Path, error: Exception) -> CarveError:
        reason = first_line(error)
        if isinstance(error, self._ort.capi.onnxruntime_pybind11_state.NotImplemented):
            return ProviderError(
                f"{self._provider.name} cannot compute all of {path}: {reason}",
                "choose another provider or backend (bfloat16 wants a GPU, or openvino), or a "
                "bundle in another precision",
            )
        if isinstance(
            error, RuntimeError
        ):  # what is wrong with a graph derives from Exception only
            return ProviderError(
                f"{self._provider.name} cannot be started: {reason}",
                "run carve-run doctor, and check the provider's own libraries",
            )
        return BundleError(
            f"{path} cannot be loaded: {reason}",
            "export the checkpoint again, or install a newer ONNX Runtime",
        )

    @property
    def in_place(self) -> InPlace | None:
        """See :class:`GraphRunner`: where GroupQueryAttention appends to the caches it is given."""
        return self if self._appends else None

    @property
    def on_device(self) -> bool:
        """See :class:`InPlace`."""
        return self._provider.memory is not None

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`GraphRunner`."""
        values: dict[str, Any] = {name: self.value(feed) for name, feed in feeds.items()}
        targets: dict[str, Any] = dict(into or {})
        kept = set(keep) - set(targets) if self.on_device else set()

        def run() -> list[Any]:
            binding = self._session.io_binding()
            for name, value in values.items():
                value.bind_input(binding, name)
            for tensor in self.spec.outputs:
                if tensor.name in targets:
                    targets[tensor.name].bind_output(binding, tensor.name)
                elif tensor.name in kept:
                    binding.bind_output(tensor.name, self._provider.memory, self._device)
                else:
                    binding.bind_output(tensor.name)
            self._execute(binding)
            outputs: list[Any] = binding.get_outputs()
            return outputs

        with memory_errors(f"{self.spec.file} cannot be run"):
            outputs = in_turn(run, on_device=self.on_device)
        # The binding's own values do not keep the memory of those that were given alive.
        return {
            tensor.name: targets.get(tensor.name) or OrtBuffer(output, tensor.name in kept)
            for tensor, output in zip(self.spec.outputs, outputs, strict=True)
        }

    def bind(self, feeds: Mapping[str, Value], into: Mapping[str, Value]) -> BoundRun:
        """See :class:`InPlace`."""
        inputs: Mapping[str, Any] = feeds
        outputs: Mapping[str, Any] = into

        def bind() -> Any:
            binding = self._session.io_binding()
            for name, value in inputs.items():
                value.bind_input(binding, name)
            for name, value in outputs.items():
                value.bind_output(binding, name)
            return binding

        with memory_errors("buffers cannot be bound"):
            binding = in_turn(bind, on_device=self.on_device)
        capture = next(self._captures) if self._records else None
        return OrtBoundRun(lambda capture: self._execute(binding, capture), capture, self.on_device)

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Buffer:
        """See :class:`InPlace`."""
        if not self.on_device:  # what is not written takes no memory
            return self._buffer(lambda make: make.ortvalue_from_numpy(np.empty(shape, dtype)))
        place = self._provider.memory, self._device
        return self._buffer(
            lambda make: make.ortvalue_from_shape_and_type(list(shape), dtype.type, *place)
        )

    def zeros(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Buffer:
        """See :class:`InPlace`."""
        place = (self._provider.memory, self._device) if self.on_device else ()
        return self._buffer(lambda make: make.ortvalue_from_numpy(np.zeros(shape, dtype), *place))

    def row(self, buffer: Buffer, index: int) -> Value:
        """See :class:`InPlace`."""
        assert isinstance(buffer, OrtBuffer)
        return OrtRow(buffer, index, self._device)

    def fill(self, buffer: Buffer, keys_or_values: Array) -> None:
        """See :class:`InPlace`."""
        positions = keys_or_values.shape[2]
        if not self.on_device:
            buffer.numpy()[:, :, :positions] = keys_or_values
            return
        whole = np.zeros(tuple(buffer.shape()), keys_or_values.dtype)
        whole[:, :, :positions] = keys_or_values
        buffer.update_inplace(whole)

    def _buffer(self, make: Callable[[Any], Any]) -> OrtBuffer:
        with memory_errors("a buffer cannot be made"):
            value = in_turn(lambda: make(self._ort.OrtValue), on_device=self.on_device)
        return OrtBuffer(value, self.on_device)

    def _execute(self, binding: Any, capture: int | None = None) -> None:
        """Run what is bound; ``capture`` is the number of a recording, made if there is none."""
        options = self._ort.RunOptions()
        options.log_severity_level = _QUIET
        if self._records:
            options.add_run_config_entry(_CAPTURE, str(_NO_CAPTURE if capture is None else capture))
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as error:  # as above; out of memory, for instance
            reason = first_line(error)
            raise RunError(
                f"ONNX Runtime failed in {self.spec.file}: {reason}",
                "free memory, or check the bundle with carve-run info --verify",
            ) from error

    def value(self, array: Array | Value) -> Value:
        """See :class:`GraphRunner`; the value shares the array's memory."""
        if not isinstance(array, np.ndarray):
            return array
        return OrtBuffer(self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))


def _tensors(nodes: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=node.name, dtype=DTYPES.get(node.type, node.type), shape=tuple(node.shape))
        for node in nodes
    )
