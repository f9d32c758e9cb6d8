"""What runs a graph: one protocol that every backend keeps, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.graph_spec import Tensor
from carve_models.settings import require_choice, require_count

Array: TypeAlias = NDArray[Any]

BackendName = Literal["ort", "openvino", "tensorrt"]
ProviderName = Literal["cpu", "cuda", "tensorrt", "nv_tensorrt_rtx", "openvino"]


class Value(Protocol):
    """A tensor where its backend keeps it: in host memory or on a device."""

    def numpy(self) -> Array:
        """Return it as an array; one that lies on a device is copied."""
        ...

    def shape(self) -> Sequence[int]:
        """Return its sizes."""
        ...


class GraphRunner(Protocol):
    """One loaded graph. Threads may share it: a run keeps no state."""

    @property
    def in_place(self) -> bool:
        """Whether an output may be written into the buffer of an input, see :meth:`run`."""
        ...

    def run(
        self,
        feeds: Mapping[str, Array | Value],
        into: Mapping[str, Value] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, Value]:
        """Run once and return every output by name.

        Args:
            feeds: inputs by name; values of an earlier run are not moved.
            into: values that receive outputs in place of new ones; the caller keeps them. One may
                be an input too, where the graph's operators allow it.
            keep: outputs that stay where they were computed, to be inputs of another run.

        Raises:
            RunError: the backend failed, or a size is beyond what the graph was built for.
        """
        ...

    def value(self, array: Array | Value) -> Value:
        """Return an array as a value, without copying it where that can be."""
        ...


#: Receives the name of a graph and the inputs of one run of it, before that starts.
OnRun: TypeAlias = Callable[[str, Mapping[str, Array | Value]], None]


@dataclass(frozen=True, kw_only=True)
class BackendSettings:
    """Who runs the graphs, and how.

    Attributes:
        backend: ONNX Runtime, OpenVINO, or TensorRT with engines built beforehand.
        provider: ONNX Runtime's execution provider, "cpu" if ``None``.
        device: which device of the backend or provider: a number for CUDA, a name such as "GPU"
            for OpenVINO; the first one if ``None``.
        threads: threads of one graph run on a CPU; the backend's choice if ``None``.
        engines: folder that ``carve-export engine`` wrote, for the backend "tensorrt".
        on_run: is told of every run of a graph; nothing is then written in place.
    """

    backend: BackendName = "ort"
    provider: ProviderName | None = None
    device: str | None = None
    threads: int | None = None
    engines: Path | None = None
    on_run: OnRun | None = None

    def __post_init__(self) -> None:
        require_choice("backend", self.backend, BackendName)
        if self.provider is not None:
            require_choice("provider", self.provider, ProviderName)
            if self.backend != "ort":
                raise SettingsError(
                    f"provider {self.provider} is ONNX Runtime's, and backend is {self.backend}",
                    "leave the provider out, or choose the backend ort",
                )
        if self.threads is not None:
            require_count("threads", self.threads)
        if (self.engines is not None) != (self.backend == "tensorrt"):
            given = self.engines or "none"
            raise SettingsError(
                f"engines is {given}, and backend is {self.backend}",
                'give both or neither: the backend "tensorrt", and no other, runs the folder that '
                "carve-export engine writes",
            )

    def device_number(self) -> int:
        """Return the number of a CUDA device, 0 if none was chosen.

        Raises:
            SettingsError: it is not a number.
        """
        if self.device is None:
            return 0
        if not self.device.isdecimal():
            raise SettingsError(f"device is {self.device!r}", "number the CUDA devices from 0")
        return int(self.device)


def in_order(tensors: Sequence[Tensor], expected: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return tensors in the order of the manifest's; a backend may have an order of its own."""
    rank = {tensor.name: index for index, tensor in enumerate(expected)}
    return tuple(sorted(tensors, key=lambda tensor: rank.get(tensor.name, len(rank))))
