"""Values of ONNX Runtime, in host memory or on a device, and runs over them.

All work on CUDA devices takes turns in one thread of the process: while a run is recorded, no other
thread may call CUDA; a replay uses the working memory that it was recorded with, which another run
may have been given meanwhile; and ONNX Runtime keeps what it has recorded for each thread apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np

from carve_models.errors import CarveError, RunError, first_line
from carve_runtime.backends.protocol import Array, Buffer

#: numpy's names of ONNX Runtime's types.
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int64)": "int64",
}
_Result = TypeVar("_Result")


@cache
def _device_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "carve device")


def in_turn(run: Callable[[], _Result], *, on_device: bool) -> _Result:
    """Return what a function returns, which waits for its turn if it uses a device."""
    return _device_thread().submit(run).result() if on_device else run()


@contextmanager
def memory_errors(cause: str) -> Iterator[None]:
    """Turn what ONNX Runtime and numpy raise of memory into :class:`RunError`.

    ONNX Runtime's own classes derive from ``Exception`` or ``RuntimeError``. What says that the
    calling code is wrong passes.
    """
    try:
        yield
    except (CarveError, TypeError, ValueError):
        raise
    except Exception as error:
        raise RunError(
            f"{cause}: {first_line(error)}",
            "free memory, give a smaller image, or choose another device",
        ) from error


@dataclass(frozen=True, eq=False)
class OrtBuffer:
    """An ``OrtValue``; see :class:`carve_runtime.backends.protocol.Buffer`."""

    value: Any
    on_device: bool = False

    def numpy(self) -> Array:
        """Return an array, which shares host memory and is copied from a device."""
        with memory_errors("a value cannot be read"):
            array: Array = in_turn(self.value.numpy, on_device=self.on_device)
        return array

    def shape(self) -> Sequence[int]:
        """Return its sizes."""
        sizes: Sequence[int] = self.value.shape()
        return sizes

    def update_inplace(self, array: Array) -> None:
        """Copy an array of its shape and dtype into it."""
        with memory_errors("a buffer cannot be written"):
            in_turn(lambda: self.value.update_inplace(array), on_device=self.on_device)

    def bind_input(self, binding: Any, name: str) -> None:
        """Make it an input of a run."""
        binding.bind_ortvalue_input(name, self.value)

    def bind_output(self, binding: Any, name: str) -> None:
        """Let a run write an output into it."""
        binding.bind_ortvalue_output(name, self.value)


@dataclass(frozen=True, eq=False)
class OrtRow:
    """One row of a buffer, which it keeps alive."""

    buffer: OrtBuffer
    index: int
    device: int

    def numpy(self) -> Array:
        """See :class:`carve_runtime.backends.protocol.Value`."""
        return self.buffer.numpy()[self.index : self.index + 1]

    def shape(self) -> Sequence[int]:
        """See :class:`carve_runtime.backends.protocol.Value`."""
        return (1, *self.buffer.shape()[1:])

    def bind_input(self, binding: Any, name: str) -> None:
        """Make it an input of a run."""
        binding.bind_input(name, *self._place())

    def bind_output(self, binding: Any, name: str) -> None:
        """Let a run write an output into it."""
        binding.bind_output(name, *self._place())

    def _place(self) -> tuple[str, int, type[Any], Sequence[int], int]:
        """Return device, its number, element type, sizes and address, as a binding takes them."""
        value, sizes = self.buffer.value, self.shape()
        dtype = np.dtype(DTYPES[value.data_type()])
        address = value.data_ptr() + self.index * math.prod(sizes) * dtype.itemsize
        return value.device_name(), self.device, dtype.type, sizes, address


@dataclass(frozen=True)
class OrtBoundRun:
    """A run of a graph over buffers that are bound already, in one turn."""

    execute: Callable[[int | None], None]
    capture: int | None
    on_device: bool

    @property
    def captures(self) -> bool:
        """See :class:`carve_runtime.backends.protocol.BoundRun`."""
        return self.capture is not None

    def __call__(
        self, updates: Mapping[Buffer, Array], reads: Sequence[Buffer], *, replay: bool = True
    ) -> list[Array]:
        """See :class:`carve_runtime.backends.protocol.BoundRun`."""

        def run() -> list[Array]:
            for buffer, array in updates.items():
                buffer.value.update_inplace(array)  # type: ignore[attr-defined]
            self.execute(self.capture if replay else None)
            return [np.array(buffer.value.numpy()) for buffer in reads]  # type: ignore[attr-defined]

        with memory_errors("buffers cannot be read or written"):
            return in_turn(run, on_device=self.on_device)
