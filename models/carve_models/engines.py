"""``engines.json``: what TensorRT engines were built of, by what, and for which sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from carve_models.errors import EngineError
from carve_models.folder import FileEntry, FolderKind
from carve_models.graph_spec import Range, Tensor
from carve_models.settings import MOST_COUNT

ENGINES_FILE = "engines.json"
ENGINES_SCHEMA = 1

#: Types of the tensors of a bundle's graphs.
_DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "bool", "uint8")

Target = Literal["tensorrt", "tensorrt_rtx"]
EnginePrecision = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True, kw_only=True)
class TensorRtEngine:
    """One engine.

    Attributes:
        file: its path in the folder.
        source: SHA-256 of the ONNX graph that it was built from.
        inputs: in the order of the network.
        outputs: in the order of the network.
        ranges: of the dimensions that inputs name; sizes outside are refused.
    """

    file: str
    source: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    ranges: dict[str, Range]

    def __post_init__(self) -> None:
        for low, typical, high in self.ranges.values():
            if not 0 <= low <= typical <= high <= MOST_COUNT:
                raise ValueError(f"the range {low}..{typical}..{high} is not in order")
        for tensors in (self.inputs, self.outputs):
            if len({tensor.name for tensor in tensors}) != len(tensors) or not tensors:
                raise ValueError("inputs or outputs are missing, or share a name")
        for tensor in (*self.inputs, *self.outputs):
            if tensor.dtype not in _DTYPES:
                raise ValueError(f"{tensor.name} is {tensor.dtype!r}, which no engine computes")
            if any(isinstance(size, int) and not 0 <= size <= MOST_COUNT for size in tensor.shape):
                raise ValueError(f"{tensor.name} has the shape {tensor.shape}")
        named = {size for tensor in self.inputs for size in tensor.shape if isinstance(size, str)}
        if named - self.ranges.keys():
            raise ValueError(f"{min(named - self.ranges.keys())} has no range")


@dataclass(frozen=True, kw_only=True)
class EngineManifest:
    """The whole of ``engines.json``.

    Attributes:
        target: the builder.
        version: the builder's version; engines run with no other.
        compute_capabilities: of the GPUs that they run on, such as "8.9".
        precision: of matrix products and convolutions; the rest is fp32, unless the bundle itself
            computes in half precision.
        stripped: whether the weights were left out, to be put in on the device.
        engines: by the graph's name.
        files: of every engine, size and SHA-256.
    """

    target: Target
    version: str
    compute_capabilities: tuple[str, ...]
    precision: EnginePrecision
    stripped: bool
    engines: dict[str, TensorRtEngine]
    files: dict[str, FileEntry]
    schema_version: int = ENGINES_SCHEMA

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("there is no engine")
        for name, engine in self.engines.items():
            if engine.file not in self.files:
                raise ValueError(f"the file of {name} is not listed")

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that is named, in the folder."""
        return tuple(self.files)


#: How a folder of engines is read, and what is said of one that cannot be used.
ENGINES = FolderKind(
    name="folder of engines",
    manifest=ENGINES_FILE,
    content=EngineManifest,
    schema=ENGINES_SCHEMA,
    source="the folder that carve-export engine wrote",
    again="build the engines again",
    error=EngineError,
    schema_error=EngineError,
)
#: Write and read ``engines.json`` in a folder.
write_engines, read_engines = ENGINES.write, ENGINES.read


def require_size(engine: TensorRtEngine, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raise :class:`EngineError` unless an engine takes an input of this shape."""
    if len(shape) != len(tensor.shape):
        raise EngineError(
            f"{tensor.name} has the shape {shape}, the engine takes {len(tensor.shape)} dimensions",
            "give the input that the bundle's manifest describes",
        )
    for size, listed in zip(shape, tensor.shape, strict=True):
        low, _, high = (listed,) * 3 if isinstance(listed, int) else engine.ranges[listed]
        if not low <= size <= high:
            name = listed if isinstance(listed, str) else "a fixed dimension"
            raise EngineError(
                f"{tensor.name} has the shape {shape}, and {name} is {size}, "
                f"outside the engine's {low} to {high}",
                "give a smaller image or a shorter question, or build the engines with a wider "
                "--range",
            )
