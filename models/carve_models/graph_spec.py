"""What a manifest says of one graph: its file, and the tensors that enter and leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What a bundle computes in: embeddings, hidden states, features of images, and caches.
Dtype = Literal["float32", "float16", "bfloat16"]

#: Smallest, typical and largest size of a dimension.
Range = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One graph input or output; symbolic dimensions are names."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    @property
    def signature(self) -> str:
        """Name, dtype and shape, with ``?`` for dimensions without a fixed size."""
        sizes = [str(size) if isinstance(size, int) else "?" for size in self.shape]
        return f"{self.name}: {self.dtype}({', '.join(sizes)})"


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """One ONNX file and its interface."""

    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def floating(dtype: Dtype, name: str, *shape: int | str) -> Tensor:
    """Return a tensor of a bundle's own type."""
    return Tensor(name=name, dtype=dtype, shape=shape)


def float32(name: str, *shape: int | str) -> Tensor:
    """Return a tensor of single precision."""
    return Tensor(name=name, dtype="float32", shape=shape)


def float64(name: str, *shape: int | str) -> Tensor:
    """Return a tensor of double precision."""
    return Tensor(name=name, dtype="float64", shape=shape)


def int64(name: str, *shape: int | str) -> Tensor:
    """Return a tensor of integers."""
    return Tensor(name=name, dtype="int64", shape=shape)
