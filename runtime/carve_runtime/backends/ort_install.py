"""How ONNX Runtime is installed: several distributions bring it, and only one may be there."""

from __future__ import annotations

from importlib import metadata

#: Distributions that install the same ``onnxruntime`` package and overwrite each other.
DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
)
#: What brings one of them.
EXTRAS = ("'carve-vlm[cpu]'", "'carve-vlm[gpu]'")


def installed() -> list[str]:
    """Return the distributions that are installed, whole or damaged."""
    return [name for name in DISTRIBUTIONS if _is_installed(name)]


def advice(*requirements: str) -> str:
    """Return the commands that end in one whole ONNX Runtime, whatever is there now.

    Removing one of two leaves the other damaged, and pip takes a damaged one for installed: all
    go first.

    Args:
        requirements: for pip; any of them.
    """
    wanted = " or ".join(f"pip install {requirement}" for requirement in requirements)
    there = installed()
    return f"pip uninstall --yes {' '.join(there)}, then {wanted}" if there else wanted


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
