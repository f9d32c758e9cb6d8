"""Import what not every installation has, when it is needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from carve_models.errors import DependencyError


def late_import(module: str, title: str, remedy: str) -> ModuleType:
    """Import a module.

    Args:
        module: its dotted name.
        title: what people call it.
        remedy: what to install, a clause without a final full stop.

    Raises:
        DependencyError: it, or something that it imports, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(f"{title} cannot be imported ({error})", remedy) from error
