"""Give a session of ONNX Runtime its execution provider, built in or from a plug-in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from carve_models.errors import ProviderError
from carve_runtime.backends.ort_install import advice
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.backends.providers import PROVIDERS, Plugin, Provider


def choose_provider(
    ort: Any,
    options: Any,
    provider: Provider,
    settings: BackendSettings,
    extra: Mapping[str, str] | None = None,
) -> list[Any] | None:
    """Return the providers of a session; of a plug-in, put the device into its options.

    Args:
        ort: ONNX Runtime.
        options: the session's, changed for a plug-in.
        provider: which to take.
        settings: with the device.
        extra: options of the provider, besides those that it always gets.

    Raises:
        ProviderError: the provider is not there.
    """
    available = ort.get_available_providers()
    if provider.name in available:
        load_libraries(ort, provider)
        rest = PROVIDERS[provider.rest] if provider.rest else None
        chosen = [(provider.name, provider.options(settings) | dict(extra or {}))]
        if rest is not None and rest.name in available:
            chosen.append((rest.name, rest.options(settings)))
        return chosen
    devices = _plugin_devices(ort, provider, provider.plugin, settings) if provider.plugin else []
    if not devices or provider.plugin is None:
        how = f"pip install {provider.install}" if provider.plugin else advice(provider.install)
        raise ProviderError(
            f"ONNX Runtime {ort.__version__} has no {provider.name} here "
            f"(available: {', '.join(available)})",
            f"choose an available provider, or install it: {how}",
        )
    options.add_provider_for_devices(devices[:1], dict(provider.plugin.fixed))
    return None


def require_started(
    provider: Provider,
    session: Any,
    remedy: str = "run carve-run doctor, and check the provider's own libraries",
) -> None:
    """Raise :class:`ProviderError` if a session took another provider."""
    if session.get_providers()[0] != provider.name:
        raise ProviderError(
            f"ONNX Runtime could not start {provider.name} and took {session.get_providers()[0]}",
            remedy,
        )


def load_libraries(ort: Any, provider: Provider) -> None:
    """Load CUDA's libraries first, from NVIDIA's wheels if they are installed.

    ONNX Runtime prints what it cannot load.
    """
    if provider.memory == "cuda" and hasattr(ort, "preload_dlls"):  # before 1.21 it has none
        with redirect_stdout(sys.stderr):
            ort.preload_dlls()


def is_there(ort: Any, provider: Provider) -> bool:
    """Whether ONNX Runtime lists a provider, or its plug-in is installed; nothing is loaded."""
    if provider.name in ort.get_available_providers():
        return True
    return provider.plugin is not None and find_spec(provider.plugin.module) is not None


def _plugin(plugin: Plugin) -> Any:
    try:
        return import_module(plugin.module)
    except ImportError:
        return None


def _plugin_devices(
    ort: Any, provider: Provider, plugin: Plugin, settings: BackendSettings
) -> list[Any]:
    """Return the chosen device of a plug-in, if it is installed and finds one."""
    library = _plugin(plugin)
    if library is None:
        return []
    if not any(device.ep_name == provider.name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(provider.name, library.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider.name]
    if plugin.metadata is None:
        return devices[settings.device_number() :]
    chosen = settings.device or provider.first
    return [each for each in devices if each.ep_metadata.get(plugin.metadata) == chosen]
