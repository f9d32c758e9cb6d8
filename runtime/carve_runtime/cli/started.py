"""What ``carve-run doctor`` tries in processes of their own: providers, and CUDA's libraries.

A library that crashes or waits for ever ends its own process, and is a finding.
"""

from __future__ import annotations

import re
import signal
import subprocess
from dataclasses import dataclass

from carve_models.child import module_command
from carve_runtime.backends.ort import import_onnxruntime
from carve_runtime.backends.ort_providers import is_there
from carve_runtime.backends.protocol import ProviderName
from carve_runtime.backends.providers import PROVIDERS

#: Seconds; the first start on a new GPU compiles kernels.
_LONGEST = 60.0
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class Trial:
    """What came of a module that was run: its output, and why it failed, if it did."""

    output: str
    failure: str = ""


def start_providers() -> dict[ProviderName, str]:
    """Start each provider that ONNX Runtime has; return why it does not, "" for one that computes.

    Raises:
        DependencyError: ONNX Runtime is not installed, or damaged.
    """
    ort = import_onnxruntime()
    return {
        name: run_module("carve_runtime.backends.start", name).failure
        for name, provider in PROVIDERS.items()
        if is_there(ort, provider)
    }


def cuda_lines() -> list[str]:
    """Return CUDA's, cuDNN's and the driver's versions, wanted and found, if the build has CUDA."""
    if _CUDA not in import_onnxruntime().get_available_providers():
        return []
    trial = run_module("carve_runtime.backends.cuda_versions")
    return [trial.failure] if trial.failure else trial.output.splitlines()


def run_module(module: str, *arguments: str, seconds: float = _LONGEST) -> Trial:
    """Run a module as this process would import it, with a limit of time."""
    try:
        done = subprocess.run(
            module_command(module, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial("", f"did not end within {seconds:g} s")
    if done.returncode < 0:
        return Trial(done.stdout, f"ended by {signal.Signals(-done.returncode).name}")
    return Trial(done.stdout, _reason(done.stderr) if done.returncode else "")


def _reason(errors: str) -> str:
    """Return the error of a process: its last line, and which library could not be loaded."""
    lines = errors.strip().splitlines() or ["failed without a word"]
    library = re.search(r"Failed to load library .* with error: (.*)", errors)
    return lines[-1] + (f" ({library[1].strip()})" if library else "")
