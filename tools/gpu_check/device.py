"""Where everything computes, and what there is."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from importlib import import_module

import torch

from carve_runtime.backends.ort import import_onnxruntime
from carve_runtime.backends.protocol import ProviderName
from carve_runtime.backends.providers import PROVIDERS
from tools.shared.machine import Machine, this_machine

#: Packages whose versions matter; each names its own, installed or only unpacked.
_PACKAGES = ("onnxruntime", "torch", "transformers", "numpy", "onnx", "tokenizers")


@dataclass(frozen=True)
class Device:
    """A device, as ONNX Runtime and PyTorch call it.

    Attributes:
        provider: ONNX Runtime's.
        torch: PyTorch's.
        description: the card, or why there is none.
    """

    provider: ProviderName
    torch: str
    description: str

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.torch != "cpu"


def find_device() -> Device:
    """Return the GPU that both libraries can use, else the CPU."""
    offered = PROVIDERS["cuda"].name in import_onnxruntime().get_available_providers()
    if offered and torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        memory = card.total_memory / (1 << 30)
        capability = f"compute capability {card.major}.{card.minor}"
        return Device("cuda", "cuda", f"{card.name}, {memory:.0f} GiB, {capability}")
    lacking = "ONNX Runtime has no CUDA provider" if not offered else "PyTorch finds no GPU"
    return Device("cpu", "cpu", f"no NVIDIA GPU ({lacking}): run on the CPU")


def describe_machine(device: Device) -> Machine:
    """Return the machine, the card among its processors."""
    versions = {name: str(import_module(name).__version__) for name in _PACKAGES}
    if device.is_gpu:
        versions["CUDA"] = str(torch.version.cuda)
        versions["cuDNN"] = str(torch.backends.cudnn.version())
    machine = this_machine()
    processor = f"{device.description}; {machine.processor or platform.machine()}"
    return replace(machine, processor=processor, versions=versions)
