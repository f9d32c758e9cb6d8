"""Turn a Hugging Face vision-language model into a bundle for ``carve_runtime``.

In: a checkpoint. Out: a bundle in float32 that reproduces it; from a bundle, one in lower precision
or TensorRT engines. PyTorch is needed here, and only here; it is imported when an export starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carve_export.exporter import ExportReport, export_bundle
    from carve_export.options import ExportOptions

__all__ = ["ExportOptions", "ExportReport", "export_bundle"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from carve_export import exporter

        return getattr(exporter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
