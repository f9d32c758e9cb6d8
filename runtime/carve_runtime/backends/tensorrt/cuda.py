"""CUDA's runtime through ``cuda-python``: devices, memory and copies, no PyTorch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from carve_models.errors import ProviderError, RunError
from carve_runtime.late_import import late_import


def import_cuda() -> ModuleType:
    """Import the bindings of CUDA's runtime.

    Raises:
        DependencyError: they are not installed.
    """
    remedy = 'install the extra of TensorRT: pip install "carve-vlm[tensorrt]"'
    return late_import("cuda.bindings.runtime", "cuda-python", remedy)


def call(function: str, *arguments: Any) -> Any:
    """Call a function of CUDA's runtime and return its results, without the status.

    Raises:
        RunError: CUDA reports an error.
    """
    cuda = import_cuda()
    status, *results = getattr(cuda, function)(*arguments)
    if status != cuda.cudaError_t.cudaSuccess:
        _, text = cuda.cudaGetErrorString(status)
        raise RunError(
            f"CUDA failed in {function}: {text.decode()}",
            "free memory on the device, or run carve-run doctor",
        )
    return results[0] if len(results) == 1 else results


def require_device(number: int) -> None:
    """Raise :class:`ProviderError` unless there is a CUDA device of this number."""
    try:
        count = int(call("cudaGetDeviceCount"))
    except RunError as error:
        raise ProviderError(
            f"there is no CUDA device here ({error.cause})",
            "run on a machine with an NVIDIA GPU and its driver, or choose another backend",
        ) from error
    if number >= count:
        raise ProviderError(
            f"there is no CUDA device {number} here; the last one is {count - 1}",
            "choose a lower number",
        )


def compute_capability(number: int = 0) -> str:
    """Return a device's compute capability, such as "8.9"; errors as in :func:`require_device`."""
    require_device(number)
    attributes = import_cuda().cudaDeviceAttr
    major, minor = (
        call("cudaDeviceGetAttribute", attribute, number)
        for attribute in (
            attributes.cudaDevAttrComputeCapabilityMajor,
            attributes.cudaDevAttrComputeCapabilityMinor,
        )
    )
    return f"{major}.{minor}"
