"""What runs a graph: one protocol that every backend keeps, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.graph_spec import GraphSpec, Tensor
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


@dataclass(frozen=True)
class ArrayValue:
    """A tensor in host memory."""

    array: Array

    def numpy(self) -> Array:
        """See :class:`Value`."""
        return self.array

    def shape(self) -> Sequence[int]:
        """See :class:`Value`."""
        return self.array.shape


class Buffer(Value, Protocol):
    """A value whose numbers are replaced where they are."""

    def update_inplace(self, array: Array) -> None:
        """Copy an array of its shape and dtype into it."""
        ...


class BoundRun(Protocol):
    """A run whose inputs and outputs have their places once and for all; nobody else runs it."""

    @property
    def captures(self) -> bool:
        """Whether it is recorded when it first runs and replayed from then on (a CUDA graph)."""
        ...

    def __call__(
        self, updates: Mapping[Buffer, Array], reads: Sequence[Buffer], *, replay: bool = True
    ) -> list[Array]:
        """Update inputs, run, and return copies of outputs.

        Args:
            updates: what to copy into buffers first.
            reads: the buffers to return.
            replay: whether a recording may be used; without it runs operator by operator.

        Raises:
            RunError: as :meth:`GraphRunner.run`.
        """
        ...


class InPlace(Protocol):
    """What a graph offers that writes outputs where inputs lie."""

    @property
    def spec(self) -> GraphSpec:
        """What enters and leaves the graph."""
        ...

    @property
    def on_device(self) -> bool:
        """Whether buffers lie in a device's memory, where they are dear to make."""
        ...

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Buffer:
        """Return a buffer of any numbers, to be written before it is read."""
        ...

    def zeros(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Buffer:
        """Return a buffer of zeros: masked positions are read too, and multiplied by 0."""
        ...

    def row(self, buffer: Buffer, index: int) -> Value:
        """Return one row of a buffer, (1, ...), in its place."""
        ...

    def fill(self, buffer: Buffer, keys_or_values: Array) -> None:
        """Write (B, Kv, P, D) over the first P positions of a longer buffer of that kind."""
        ...

    def bind(self, feeds: Mapping[str, Value], into: Mapping[str, Value]) -> BoundRun:
        """Return a run over buffers, every input and output of the graph among them."""
        ...


class GraphRunner(Protocol):
    """One loaded graph. Threads may share it: a run keeps no state."""

    @property
    def in_place(self) -> InPlace | None:
        """How an output is written into the buffer of an input; ``None`` where it cannot be."""
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
        cuda_graph: record the step of one token and replay it, where a bundle and its provider can:
            the provider cuda, a bundle of the profile ``ort`` in half precision.
        on_run: is told of every run of a graph; nothing is then written in place.
    """

    backend: BackendName = "ort"
    provider: ProviderName | None = None
    device: str | None = None
    threads: int | None = None
    engines: Path | None = None
    cuda_graph: bool = True
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

    def on_host(self) -> BackendSettings:
        """Return the settings for a graph that only looks numbers up: a device gains nothing."""
        if self.backend != "ort":
            return self
        return replace(self, provider=None, device=None)

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
