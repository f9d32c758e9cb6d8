"""What is not there is a typed error that says what is, and what to install; nothing stands in."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from carve_runtime import Carve, CarveError, DependencyError, ProviderError, SettingsError
from carve_runtime.backends import BACKENDS
from tests.support import POCKET

HERE = r"\(available: .*CPUExecutionProvider.*\)\. Choose an available provider, or install "

ABSENT: list[tuple[str, str]] = [
    ("cuda", rf"no CUDAExecutionProvider here {HERE}.*\[gpu\]"),
    ("tensorrt", rf"no TensorrtExecutionProvider here {HERE}.*tensorrt"),
    (
        "nv_tensorrt_rtx",
        rf"no NvTensorRTRTXExecutionProvider here {HERE}.*onnxruntime-ep-nv-tensorrt-rtx",
    ),
]
REFUSED: list[tuple[dict[str, Any], type[CarveError], str]] = [
    ({"provider": "orchid"}, SettingsError, r"provider is 'orchid'\. Choose one of cpu, cuda"),
    ({"backend": "orchid"}, SettingsError, r"backend is 'orchid'\. Choose one of ort, openvino"),
    (
        {"backend": "openvino", "provider": "cpu"},
        SettingsError,
        r"provider cpu is ONNX Runtime's, and backend is openvino\. Leave the provider out",
    ),
    ({"device": "1"}, SettingsError, r"device is '1', and the provider cpu has no devices\. Leave"),
    ({"provider": "cuda", "device": "one"}, SettingsError, r"device is 'one'\. Number the CUDA"),
    (
        {"backend": "openvino", "device": "NPU"},
        ProviderError,
        r"OpenVINO has no device NPU here \(available: CPU.*\)\. Choose an available device",
    ),
    ({"threads": 0}, SettingsError, r"threads is 0\. Give a value at least 1"),
]


@pytest.mark.no_gpu
@pytest.mark.parametrize(("provider", "message"), ABSENT)
def test_providers_of_gpus(provider: Any, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        Carve.load(POCKET, provider=provider)


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED)
def test_what_cannot_be_had(options: dict[str, Any], kind: type[CarveError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Carve.load(POCKET, **options)
    assert caught.type is kind


@pytest.mark.parametrize(
    ("backend", "module", "remedy"),
    [
        ("ort", "onnxruntime", r"carve-vlm\[cpu\]"),
        ("openvino", "openvino", r"carve-vlm\[openvino\]"),
    ],
)
def test_a_backend_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, backend: Any, module: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # Python's own mark of what cannot be imported
    with pytest.raises(DependencyError, match=rf"cannot be imported .*{remedy}"):
        Carve.load(POCKET, backend=backend)
    with pytest.raises(DependencyError):
        BACKENDS[backend].describe()
