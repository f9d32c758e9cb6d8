"""Which CUDA and cuDNN ONNX Runtime was built for, and which are here: ``python -m`` this.

In a process of its own, since it loads NVIDIA's libraries.
"""

from __future__ import annotations

import ctypes
import re
import sys
from importlib import metadata

from carve_runtime.backends.ort import import_onnxruntime
from carve_runtime.backends.ort_install import installed
from carve_runtime.backends.ort_providers import load_libraries
from carve_runtime.backends.providers import PROVIDERS

_WINDOWS = sys.platform == "win32"
_CUDNN = "cudnn"


def describe() -> list[str]:
    """Return a line for CUDA, one for cuDNN and one for the driver; none without CUDA in the build.

    Raises:
        DependencyError: ONNX Runtime is not installed, or damaged.
    """
    ort = import_onnxruntime()
    wanted = ort.cuda_version if hasattr(ort, "cuda_version") else ""
    if not wanted:
        return []
    load_libraries(ort, PROVIDERS["cuda"])
    major = wanted.split(".")[0]
    cudnn = _wanted_cudnn()
    runtime = _call(f"cudart64_{major}.dll" if _WINDOWS else f"libcudart.so.{major}", "cudaRuntime")
    driver = _call("nvcuda.dll" if _WINDOWS else "libcuda.so.1", "cuDriver")
    return [
        f"CUDA {wanted} wanted, {_dotted(runtime, 1000, 10)} found{_wheels('cuda-runtime')}",
        f"cuDNN {cudnn}.* wanted, {_found_cudnn(cudnn)} found{_wheels(_CUDNN)}",
        f"NVIDIA driver for CUDA {major}.* wanted, for {_dotted(driver, 1000, 10)} found",
    ]


def _wanted_cudnn() -> str:
    """Return the major version that ONNX Runtime's own extra ``cudnn`` asks for."""
    needs = [need for name in installed() for need in metadata.requires(name) or ()]
    versions = [re.match(rf"nvidia-{_CUDNN}[\w-]* *[~=>]= *(\d+)", need) for need in needs]
    return next((version[1] for version in versions if version), "9")


def _found_cudnn(major: str) -> str:
    try:
        library = ctypes.CDLL(f"cudnn64_{major}.dll" if _WINDOWS else f"libcudnn.so.{major}")
        library.cudnnGetVersion.restype = ctypes.c_size_t
        version = library.cudnnGetVersion()
    except (OSError, AttributeError):
        return "none"
    return _dotted(version, 10_000, 100)


def _call(library: str, prefix: str) -> int | None:
    """Return what ``prefix + "GetVersion"`` writes; ``None`` without the library."""
    version = ctypes.c_int()
    try:
        getattr(ctypes.CDLL(library), f"{prefix}GetVersion")(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return version.value


def _dotted(version: int | None, major: int, minor: int) -> str:
    """Return NVIDIA's number of a version with a point: 13010 is 13.1 of CUDA, 1000 and 10."""
    return f"{version // major}.{version % major // minor}" if version else "none"


def _wheels(part: str) -> str:
    """Return the wheels of NVIDIA that bring a part, in brackets."""
    names = {str(each.name): each.version for each in metadata.distributions()}
    found = [f"{name} {version}" for name, version in sorted(names.items())
             if re.fullmatch(rf"nvidia-{part}(-cu\d+)?", name)]  # fmt: skip
    return f" ({', '.join(found)})" if found else ""


if __name__ == "__main__":
    print("\n".join(describe()))
