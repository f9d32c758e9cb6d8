"""What an ONNX Runtime binding refers to beside whole values: rows of them, and fixed runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carve_runtime.backends.protocol import Array

#: numpy's names of ONNX Runtime's types.
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int64)": "int64",
}


@dataclass(frozen=True)
class OrtBoundRun:
    """A run of a graph over values that are bound already."""

    execute: Callable[[int | None], None]
    capture: int | None

    @property
    def captures(self) -> bool:
        """See :class:`carve_runtime.backends.protocol.BoundRun`."""
        return self.capture is not None

    def __call__(self, *, replay: bool = True) -> None:
        """See :class:`carve_runtime.backends.protocol.BoundRun`."""
        self.execute(self.capture if replay else None)


@dataclass(frozen=True)
class OrtRow:
    """One row of a buffer, which it keeps alive."""

    buffer: Any
    index: int
    device: int

    def numpy(self) -> Array:
        """See :class:`carve_runtime.backends.protocol.Value`."""
        array: Array = self.buffer.numpy()[self.index : self.index + 1]
        return array

    def shape(self) -> Sequence[int]:
        """See :class:`carve_runtime.backends.protocol.Value`."""
        return (1, *self.buffer.shape()[1:])

    @property
    def place(self) -> tuple[str, int, type[Any], Sequence[int], int]:
        """Device, its number, element type, sizes and address, as a binding takes them."""
        dtype = DTYPES[self.buffer.data_type()]
        nbytes = math.prod(self.shape()) * np.dtype(dtype).itemsize
        address = self.buffer.data_ptr() + self.index * nbytes
        return self.buffer.device_name(), self.device, np.dtype(dtype).type, self.shape(), address
