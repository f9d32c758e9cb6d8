"""Import what not every installation has, when it is needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from carve_models.errors import DependencyError


def late_import(module: str, title: str, remedy: str, *, needs: str | None = None) -> ModuleType:
    """Import a module.

    Args:
        module: its dotted name.
        title: what people call it.
        remedy: what to install, a clause without a final full stop.
        needs: a name that it must have. What an incomplete removal leaves behind is a folder that
            Python imports as an empty package.

    Raises:
        DependencyError: it, or something that it imports, is not installed, or damaged.
    """
    try:
        imported = import_module(module)
    except Exception as error:  # damaged packages raise whatever they meet
        if isinstance(error.__cause__, KeyboardInterrupt):  # what extension modules make of it
            raise error.__cause__ from None
        raise DependencyError(f"{title} cannot be imported ({error})", remedy) from error
    if needs is not None and not hasattr(imported, needs):
        place = imported.__file__ or ", ".join(imported.__path__)
        raise DependencyError(f"{title} is damaged ({place} has no {needs})", remedy)
    return imported
