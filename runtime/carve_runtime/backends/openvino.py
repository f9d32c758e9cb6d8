"""OpenVINO, which reads a bundle's ONNX files directly."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from carve_models.errors import BundleError, ProviderError, RunError
from carve_models.graph_spec import GraphSpec, Tensor
from carve_models.interface import require_tensors
from carve_runtime.backends.pool import Pool
from carve_runtime.backends.protocol import (
    Array,
    ArrayValue,
    BackendSettings,
    GraphRunner,
    InPlace,
    Value,
    in_order,
)
from carve_runtime.bundle import Bundle
from carve_runtime.late_import import late_import

if TYPE_CHECKING:
    from types import ModuleType

_CPU = "CPU"
_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64"}

#: A plug-in may default to bfloat16, or to float16 on a GPU: logits are then off by more than 1.
_PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


def import_openvino() -> ModuleType:
    """Import OpenVINO.

    Raises:
        DependencyError: it is not installed.
    """
    remedy = 'install its extra: pip install "carve-vlm[openvino]"'
    return late_import("openvino", "OpenVINO", remedy, needs="Core")


@cache
def the_core() -> Any:
    """Return the one Core of this process, which is never released.

    Its plug-in for CPUs gives the thread another stack for signals (for AMX), and frees that with
    the Core. Of several Cores, released in another order than they were made, one brings back a
    stack that was freed before: the next signal that Python handles is written over other memory.

    Raises:
        DependencyError: OpenVINO is not installed.
    """
    return import_openvino().Core()


def describe() -> str:
    """Return OpenVINO's version and its devices."""
    openvino = import_openvino()
    devices = ", ".join(the_core().available_devices)
    return f"OpenVINO {openvino.__version__.split('-')[0]}: {devices}"


def load_graph(bundle: Bundle, name: str, settings: BackendSettings) -> GraphRunner:
    """Load a graph, see :func:`carve_runtime.backends.load_graph`."""
    return OpenVinoGraph(bundle, name, settings)


class OpenVinoGraph:
    """A graph in OpenVINO.

    Each run takes an idle request, or makes one where threads run at once. Outputs are copied out
    of it: a request that is used again keeps its memory, which saves more than the copies cost.
    """

    def __init__(self, bundle: Bundle, name: str, settings: BackendSettings) -> None:
        self._openvino = import_openvino()
        self.spec: GraphSpec = bundle.manifest.graphs[name]
        core, device = the_core(), settings.device or _CPU
        if device not in core.available_devices:
            raise ProviderError(
                f"OpenVINO has no device {device} here "
                f"(available: {', '.join(core.available_devices)})",
                "choose an available device, or install its driver",
            )
        hints: dict[str, Any] = dict(_PRECISION)
        if settings.threads is not None and device == _CPU:
            hints["INFERENCE_NUM_THREADS"] = settings.threads
        path = bundle.path(self.spec.file)
        try:
            self._model = core.compile_model(os.fspath(path), device, hints)
        except RuntimeError as error:
            raise BundleError(
                f"{path} cannot be loaded: {_reason(error)}", "export the checkpoint again"
            ) from error
        self._requests: Pool[Any] = Pool(self._model.create_infer_request)
        for kind, ports, expected in (
            ("inputs", self._model.inputs, self.spec.inputs),
            ("outputs", self._model.outputs, self.spec.outputs),
        ):
            actual = in_order([_tensor(port, expected) for port in ports], expected)
            require_tensors(self.spec.file, kind, actual, expected)

    @property
    def in_place(self) -> InPlace | None:
        """See :class:`GraphRunner`."""
        return None

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """See :class:`GraphRunner`."""
        with self._requests.lend() as request:
            arrays = {name: self.value(feed).numpy() for name, feed in feeds.items()}
            try:
                for name, array in arrays.items():
                    request.set_tensor(name, self._openvino.Tensor(array, shared_memory=True))
                request.infer()
            except RuntimeError as error:
                raise RunError(
                    f"OpenVINO failed in {self.spec.file}: {_reason(error)}",
                    "free memory, or check the bundle with carve-run info --verify",
                ) from error
            return {
                tensor.name: ArrayValue(np.array(request.get_tensor(tensor.name).data))
                for tensor in self.spec.outputs
            }

    def value(self, array: Array | Value) -> Value:
        """See :class:`GraphRunner`."""
        if not isinstance(array, np.ndarray):
            return array
        return ArrayValue(np.ascontiguousarray(array))


def _tensor(port: Any, expected: Sequence[Tensor]) -> Tensor:
    """Return a port; sizes that OpenVINO cannot tell beforehand are taken from the manifest's."""
    dtype, shape = port.element_type.get_type_name(), port.partial_shape
    listed = next((tensor.shape for tensor in expected if tensor.name == port.any_name), ())
    if len(listed) != len(shape):
        listed = ("?",) * len(shape)
    sizes = (
        known if size.is_dynamic else size.get_length()
        for size, known in zip(shape, listed, strict=True)
    )
    return Tensor(name=port.any_name, dtype=_DTYPES.get(dtype, dtype), shape=tuple(sizes))


def _reason(error: RuntimeError) -> str:
    """Return the line that says most: OpenVINO begins with places in its own source."""
    lines = [line for line in str(error).splitlines() if line and " at src/" not in line]
    return lines[-1] if lines else str(error)
