"""ONNX Runtime's execution providers as a C header."""

from __future__ import annotations

from carve_runtime.backends.providers import PROVIDERS, Provider
from tools.checks.settings_table.c import header, table

#: ONNX Runtime's names of memory, in C and in Python.
_MEMORY = {"cuda": "Cuda"}


def provider_header() -> str:
    """Return ``provider_table.h``."""
    comment = (
        "Providers: name, the option that names the device, the device that is taken where they\n"
        " * are not numbered, where outputs can stay unless that is the host, whether its\n"
        " * GroupQueryAttention appends to caches of float32 and of float16 in place, its options."
    )
    rows = [_row(provider) for provider in PROVIDERS.values()]
    return header("CARVE_PROVIDER_TABLE_H", table(comment, "PROVIDERS", rows))


def _row(provider: Provider) -> str:
    memory = None if provider.memory is None else _MEMORY[provider.memory]
    texts = [provider.name, provider.device, provider.first or None, memory]
    appends = [str(dtype in provider.appends).lower() for dtype in ("float32", "float16")]
    options = [text for option in provider.fixed.items() for text in option]
    return ", ".join([*map(_text, texts), *appends, *map(_text, [*options, None])])


def _text(value: str | None) -> str:
    return "NULL" if value is None else f'"{value}"'
