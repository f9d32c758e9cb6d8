"""ONNX Runtime's execution providers: what brings each, and how it is told to be exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from carve_models.errors import SettingsError
from carve_models.graph_spec import Dtype
from carve_runtime.backends.protocol import BackendSettings, ProviderName


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A package with an execution provider.

    Attributes:
        module: what to import.
        metadata: its name for its devices; ``None`` if they are numbered.
        fixed: options, where they differ from those of the provider that is built in.
    """

    module: str
    metadata: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One execution provider; with its ``fixed`` options it computes in float32 as the CPU does.

    Attributes:
        name: ONNX Runtime's name.
        install: what brings it, a requirement for pip.
        device: the option that names the device; ``None`` where there is but one.
        first: the device that is taken if none is chosen, where they are not numbered.
        memory: where outputs can stay; ``None`` where that is the host's memory.
        appends: the dtypes of caches that its GroupQueryAttention appends to in place.
        capture: the options that let it record a run and replay it; none where it cannot.
        fixed: its other options.
        rest: the provider that runs what this one refuses, before the CPU does.
        plugin: the plug-in that brings it to any ONNX Runtime.
    """

    name: str
    install: str
    device: str | None = None
    first: str = ""
    memory: str | None = None
    appends: frozenset[Dtype] = frozenset()
    capture: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    rest: ProviderName | None = None
    plugin: Plugin | None = None

    def options(self, settings: BackendSettings) -> dict[str, str]:
        """Return the provider's options for the chosen device.

        Raises:
            SettingsError: the device is not a number, or the provider takes none.
        """
        if self.device is None:
            if settings.device is not None:
                raise SettingsError(
                    f"device is {settings.device!r}, and the provider cpu has no devices",
                    "leave the device out, or choose another provider",
                )
            return dict(self.fixed)
        numbered = self.memory is not None
        chosen = str(settings.device_number()) if numbered else settings.device or self.first
        return {self.device: chosen, **self.fixed}


PROVIDERS: dict[ProviderName, Provider] = {
    "cpu": Provider(
        name="CPUExecutionProvider",
        install="'carve-vlm[cpu]'",
        appends=frozenset({"float32", "float16"}),
    ),
    "cuda": Provider(
        name="CUDAExecutionProvider",
        install="'carve-vlm[gpu]'",
        device="device_id",
        memory="cuda",
        appends=frozenset({"float16"}),  # it has no kernel for float32
        capture={"enable_cuda_graph": "1"},
        fixed={"use_tf32": "0"},  # by default products keep 10 bits of the mantissa
    ),
    "tensorrt": Provider(
        name="TensorrtExecutionProvider",
        install="'carve-vlm[gpu]' 'tensorrt-cu13<11'",
        device="device_id",
        memory="cuda",
        rest="cuda",
    ),
    "nv_tensorrt_rtx": Provider(
        name="NvTensorRTRTXExecutionProvider",
        install="onnxruntime-ep-nv-tensorrt-rtx",
        device="device_id",
        memory="cuda",
        plugin=Plugin(module="onnxruntime_ep_nv_tensorrt_rtx"),
    ),
    "openvino": Provider(
        name="OpenVINOExecutionProvider",
        install="onnxruntime-ep-openvino",  # for Intel's processors
        device="device_type",
        first="CPU",
        fixed={"precision": "FP32"},  # by default bfloat16 on CPUs that have it
        plugin=Plugin(
            module="onnxruntime_ep_openvino",
            metadata="ov_device",
            # It refuses "precision", and takes OpenVINO's own properties by device.
            fixed={
                "load_config": json.dumps(
                    {device: {"INFERENCE_PRECISION_HINT": "f32"} for device in ("CPU", "GPU")}
                )
            },
        ),
    ),
}
