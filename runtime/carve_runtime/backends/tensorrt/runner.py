"""TensorRT engines that ``carve-export engine`` built, through TensorRT's Python API and CUDA.

Nothing here has been run on a GPU yet: what needs none is in ``plan`` and tested.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carve_models.engines import EngineManifest, Target
from carve_models.errors import CarveError, DependencyError, EngineError, RunError
from carve_runtime.backends.pool import Pool
from carve_runtime.backends.protocol import Array, BackendSettings, GraphRunner, InPlace, Value
from carve_runtime.backends.tensorrt.cuda import call, compute_capability, import_cuda
from carve_runtime.backends.tensorrt.plan import (
    check_engine,
    open_engines,
    output_buffers,
    require_dtypes,
    require_gpu,
    require_inputs,
)
from carve_runtime.bundle import Bundle
from carve_runtime.late_import import late_import

if TYPE_CHECKING:
    from types import ModuleType

_MODULES: dict[Target, str] = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt_rtx_bindings"}


def import_tensorrt(target: Target) -> ModuleType:
    """Import the Python module of TensorRT or of TensorRT-RTX.

    Raises:
        DependencyError: it is not installed.
    """
    return late_import(
        _MODULES[target],
        target,
        "install TensorRT as JetPack or NVIDIA's packages bring it; for tensorrt_rtx: "
        'pip install "carve-vlm[engines]"',
    )


def describe() -> str:
    """Return which of the two runtimes are here, and the GPU's compute capability."""
    installed, missing = [], []
    for target in _MODULES:
        try:
            installed.append(f"{target} {import_tensorrt(target).__version__}")
        except DependencyError as error:
            missing.append(error)
    if not installed:
        raise missing[0]
    try:
        gpu = f"compute capability {compute_capability()}"
    except CarveError as error:
        gpu = f"no GPU to run on ({error.cause})"
    return f"TensorRT: {', '.join(installed)}; {gpu}"


def load_graph(bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner:
    """Load an engine, see :func:`carve_runtime.backends.load_graph`."""
    assert settings.engines is not None  # BackendSettings sees to it
    engines = open_engines(settings.engines)
    trt = import_tensorrt(engines.target)
    number = settings.device_number()
    check_engine(settings.engines, engines, bundle, name, trt.__version__)
    require_gpu(engines, compute_capability(number), number)
    return TensorRtGraph(trt, engines, settings.engines, name, number)


@dataclass(frozen=True)
class DeviceValue:
    """A float32 or int64 tensor in the memory of a GPU, freed with this object."""

    pointer: int
    sizes: tuple[int, ...]
    dtype: str

    def numpy(self) -> Array:
        """See :class:`carve_runtime.backends.protocol.Value`."""
        array = np.empty(self.sizes, self.dtype)
        if array.nbytes:
            kind = import_cuda().cudaMemcpyKind.cudaMemcpyDeviceToHost
            call("cudaMemcpy", array.ctypes.data, self.pointer, array.nbytes, kind)
        return array

    def shape(self) -> Sequence[int]:
        """See :class:`carve_runtime.backends.protocol.Value`."""
        return self.sizes

    def __del__(self) -> None:
        with suppress(CarveError):  # there is nobody to tell
            call("cudaFree", self.pointer)


def _allocate(sizes: tuple[int, ...], dtype: str, nbytes: int) -> DeviceValue:
    return DeviceValue(int(call("cudaMalloc", nbytes)), sizes, dtype)


class TensorRtGraph:
    """An engine. Each run takes an idle execution context, or makes one where threads run at once.

    Outputs stay on the device until they are read.
    """

    def __init__(
        self, trt: ModuleType, engines: EngineManifest, folder: Path, name: str, device: int
    ) -> None:
        self._spec, self._device = engines.engines[name], device
        call("cudaSetDevice", device)
        self._logger = trt.Logger(trt.Logger.ERROR)
        path = folder / self._spec.file
        runtime = trt.Runtime(self._logger)
        self._engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise EngineError(f"TensorRT cannot load {path}", "build the engines again")
        self._contexts: Pool[Any] = Pool(self._engine.create_execution_context)

    @property
    def in_place(self) -> InPlace | None:
        """See :class:`carve_runtime.backends.protocol.GraphRunner`."""
        return None

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`carve_runtime.backends.protocol.GraphRunner`."""
        require_dtypes(self._spec, feeds)
        values = {name: self.value(feed) for name, feed in feeds.items()}
        require_inputs(self._spec, {name: tuple(value.shape()) for name, value in values.items()})
        call("cudaSetDevice", self._device)
        with self._contexts.lend() as context:
            for name, value in values.items():
                context.set_input_shape(name, tuple(value.shape()))
            buffers = output_buffers(self._spec, context.get_tensor_shape)
            outputs = {
                each.name: _allocate(each.shape, each.dtype, each.nbytes) for each in buffers
            }
            for name, value in {**values, **outputs}.items():
                context.set_tensor_address(name, value.pointer)  # type: ignore[attr-defined]
            self._execute(context)
        return dict(outputs)

    def value(self, array: Array | Value) -> Value:
        """See :class:`GraphRunner`; an array is copied to the device."""
        if not isinstance(array, np.ndarray):
            return array
        host = np.ascontiguousarray(array)
        call("cudaSetDevice", self._device)
        value = _allocate(host.shape, host.dtype.name, max(host.nbytes, host.itemsize))
        if host.nbytes:
            kind = import_cuda().cudaMemcpyKind.cudaMemcpyHostToDevice
            call("cudaMemcpy", value.pointer, host.ctypes.data, host.nbytes, kind)
        return value

    def _execute(self, context: Any) -> None:
        stream = call("cudaStreamCreate")
        try:
            if not context.execute_async_v3(int(stream)):
                raise RunError(
                    f"TensorRT failed in {self._spec.file}",
                    "free memory on the device, or build the engines again",
                )
            call("cudaStreamSynchronize", stream)
        finally:
            call("cudaStreamDestroy", stream)
