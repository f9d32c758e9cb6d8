"""What running an engine needs to know before a GPU comes in: checks, shapes, buffer sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carve_models.aside import read_whole
from carve_models.engines import (
    ENGINES,
    ENGINES_FILE,
    EngineManifest,
    TensorRtEngine,
    read_engines,
    require_size,
)
from carve_models.errors import EngineError, RunError
from carve_models.names import graph_file
from carve_runtime.bundle import Bundle, require_file


@dataclass(frozen=True)
class Buffer:
    """One output of a run: its shape and the bytes to allocate, never 0."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes to allocate."""
        return max(math.prod(self.shape), 1) * np.dtype(self.dtype).itemsize


def open_engines(folder: Path) -> EngineManifest:
    """Read a folder's list and check that every engine in it is there, in its size.

    Raises:
        EngineError: a file is missing or cut short, or the list is malformed.
    """
    return read_whole(folder, ENGINES_FILE, lambda: _open(folder))


def _open(folder: Path) -> EngineManifest:
    manifest = read_engines(folder)
    for name, entry in manifest.files.items():
        require_file(ENGINES, folder, name, entry, verify=False)
    if manifest.stripped:
        raise EngineError(
            f"the engines of {folder} have no weights", "build them without --strip-weights"
        )
    return manifest


def check_engine(
    folder: Path, manifest: EngineManifest, bundle: Bundle, name: str, version: str
) -> None:
    """Check that an engine is unchanged and of this TensorRT, and that all are of this bundle.

    Raises:
        EngineError: it is not there, was changed or is of another version, or one is of another
            graph.
    """
    engine = manifest.engines.get(name)
    if engine is None:
        raise EngineError(
            f"{folder} has no engine of {name} (it has {', '.join(manifest.engines)})",
            "build the engines without --graph",
        )
    for graph, built in manifest.engines.items():
        entry = bundle.manifest.files.get(graph_file(graph))
        if entry is not None and built.source != entry.sha256:
            raise EngineError(
                f"the engine of {graph} was built from another bundle than {bundle.folder}",
                "build the engines of this bundle",
            )
    require_file(ENGINES, folder, engine.file, manifest.files[engine.file], verify=True)
    if manifest.version != version:
        raise EngineError(
            f"the engines were built by {manifest.target} {manifest.version}, here is {version}",
            "build them again, or install that version",
        )


def require_gpu(manifest: EngineManifest, capability: str, number: int) -> None:
    """Raise :class:`EngineError` unless the engines were built for a device.

    Args:
        manifest: the engines' list.
        capability: the device's compute capability, such as "8.9".
        number: the device's.
    """
    if capability not in manifest.compute_capabilities:
        raise EngineError(
            f"the engines are for compute capability {', '.join(manifest.compute_capabilities)}, "
            f"device {number} has {capability}",
            "build them for this GPU: carve-export engine --compute-capability, or on the device",
        )


def require_inputs(engine: TensorRtEngine, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check the shapes of a run's inputs.

    Args:
        engine: the engine.
        shapes: by name.

    Raises:
        RunError: an input is missing or unknown, or two do not belong together.
        EngineError: a size is outside what the engine was built for.
    """
    expected = {tensor.name: tensor for tensor in engine.inputs}
    if set(shapes) != set(expected):
        raise RunError(
            f"{engine.file} takes {', '.join(expected)}, it was given {', '.join(shapes)}",
            "give the inputs that the bundle's manifest lists",
        )
    sizes: dict[str, int] = {}
    for name, tensor in expected.items():
        require_size(engine, tensor, shapes[name])
        for size, listed in zip(shapes[name], tensor.shape, strict=True):
            if isinstance(listed, str) and sizes.setdefault(listed, size) != size:
                raise RunError(
                    f"{name} says that {listed} is {size}, another input that it is "
                    f"{sizes[listed]}",
                    "give inputs that belong together",
                )


def require_dtypes(engine: TensorRtEngine, feeds: Mapping[str, object]) -> None:
    """Raise :class:`RunError` if an array is not of the type that the engine reads."""
    expected = {tensor.name: tensor.dtype for tensor in engine.inputs}
    for name, feed in feeds.items():
        if isinstance(feed, np.ndarray) and feed.dtype.name != expected.get(name, feed.dtype.name):
            raise RunError(
                f"{name} is {feed.dtype.name}, {engine.file} takes {expected[name]}",
                "give the types that the bundle's manifest lists",
            )


def output_buffers(
    engine: TensorRtEngine, shape_of: Callable[[str], Sequence[int]]
) -> tuple[Buffer, ...]:
    """Return the outputs' buffers.

    Args:
        engine: the engine.
        shape_of: TensorRT's own inference, once the inputs' shapes are set.

    Raises:
        RunError: TensorRT cannot tell a size, or tells another one than the graph has.
    """
    buffers = []
    for tensor in engine.outputs:
        shape = tuple(int(size) for size in shape_of(tensor.name))
        fixed = zip(shape, tensor.shape, strict=True) if len(shape) == len(tensor.shape) else []
        same = [size == listed or isinstance(listed, str) for size, listed in fixed]
        if not same or not all(same) or min(shape) < 0:
            raise RunError(
                f"TensorRT says that {tensor.name} has the shape {shape}, expected "
                f"{tensor.signature}",
                "build the engines again",
            )
        buffers.append(Buffer(tensor.name, tensor.dtype, shape))
    return tuple(buffers)
