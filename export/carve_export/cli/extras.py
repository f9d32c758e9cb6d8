"""Import what an extra of the package brings, once a command needs it."""

from __future__ import annotations

import signal

from carve_runtime.late_import import late_import


def load_exporter() -> None:
    """Import what needs PyTorch; from here on, SIGTERM cleans up as an interruption does.

    Raises:
        DependencyError: the extra is not installed.
    """
    _end_as_interrupted()
    _load("the exporter", "cpu,export", "carve_export.exporter", "carve_export.cli.report")


def load_tap() -> None:
    """Import what changes a graph that others exported.

    Raises:
        DependencyError: the extra is not installed.
    """
    _load("the tap", "cpu,export", "carve_export.tap")


def load_adopt() -> None:
    """Import what makes bundles of folders that others exported; SIGTERM as in an export.

    Raises:
        DependencyError: the extra is not installed.
    """
    _end_as_interrupted()
    _load("adopting folders", "cpu,export", "carve_export.adopt", "carve_export.cli.report")


def load_builder() -> None:
    """Import what builds TensorRT engines.

    Raises:
        DependencyError: the extra is not installed.
    """
    _load("the builder", "engines", "carve_export.tensorrt.build", "carve_export.cli.engine_report")


def _end_as_interrupted() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _load(title: str, extras: str, *modules: str) -> None:
    for module in modules:
        late_import(module, title, f'install its extra: pip install "carve-vlm[{extras}]"')
