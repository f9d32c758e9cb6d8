"""What execution providers are told: the chosen device, and to compute in float32."""

from __future__ import annotations

import json

import pytest

from carve_runtime.backends.protocol import BackendSettings, ProviderName
from carve_runtime.backends.providers import PROVIDERS

OPTIONS: list[tuple[ProviderName, str | None, dict[str, str]]] = [
    ("cpu", None, {}),
    ("cuda", None, {"device_id": "0", "use_tf32": "0"}),
    ("cuda", "1", {"device_id": "1", "use_tf32": "0"}),
    ("tensorrt", "2", {"device_id": "2"}),
    ("openvino", None, {"device_type": "CPU", "precision": "FP32"}),
    ("openvino", "GPU", {"device_type": "GPU", "precision": "FP32"}),
]


@pytest.mark.parametrize(("name", "device", "expected"), OPTIONS)
def test_options(name: ProviderName, device: str | None, expected: dict[str, str]) -> None:
    assert PROVIDERS[name].options(BackendSettings(provider=name, device=device)) == expected


def test_a_plug_in_has_its_own_word_for_float32() -> None:
    """It refuses the option that the provider has where it is built in."""
    plugin = PROVIDERS["openvino"].plugin
    assert plugin is not None
    assert "precision" not in plugin.fixed
    hints = json.loads(plugin.fixed["load_config"])
    assert {hint["INFERENCE_PRECISION_HINT"] for hint in hints.values()} == {"f32"}
