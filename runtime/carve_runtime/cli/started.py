"""What ``carve-run doctor`` tries in processes of their own: providers, and CUDA's libraries.

A library that crashes or waits for ever ends its own process, and is a finding.
"""

from __future__ import annotations

import re

from carve_models.child import Trial, run_module
from carve_runtime.backends.ort import import_onnxruntime
from carve_runtime.backends.ort_providers import is_there
from carve_runtime.backends.protocol import ProviderName
from carve_runtime.backends.providers import PROVIDERS

#: Seconds; the first start on a new GPU compiles kernels.
_LONGEST = 60.0


def start_providers() -> dict[ProviderName, str]:
    """Start each provider that ONNX Runtime has; return why it does not, "" for one that computes.

    Raises:
        DependencyError: ONNX Runtime is not installed, or damaged.
    """
    ort = import_onnxruntime()
    return {
        name: _failure(run_module("carve_runtime.backends.start", name, seconds=_LONGEST))
        for name, provider in PROVIDERS.items()
        if is_there(ort, provider)
    }


def cuda_lines() -> list[str]:
    """Return CUDA's, cuDNN's and the driver's versions, wanted and found, if the build has CUDA."""
    if PROVIDERS["cuda"].name not in import_onnxruntime().get_available_providers():
        return []
    trial = run_module("carve_runtime.backends.cuda_versions", seconds=_LONGEST)
    return [trial.failure] if trial.failure else trial.output.splitlines()


def _failure(trial: Trial) -> str:
    """Return why a module failed, and which library could not be loaded."""
    library = re.search(r"Failed to load library .* with error: (.*)", trial.errors)
    return trial.failure + (f" ({library[1].strip()})" if trial.failure and library else "")
