"""What a surface is: a part of the product that reads what others wrote."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

_CONSUMERS = ("c_calls", "c_files", "js_files", "js_calls", "server")
#: Each is a module of ``tests.fuzz.surfaces``, or of its folder ``consumers``, imported in the
#: process that tries its inputs.
SURFACES = (
    "images",
    "clips",
    "pipes",
    "arrays",
    "manifest",
    "tokenizer",
    "graphs",
    "engines",
    "settings",
    "questions",
    "records",
    "cli",
    "checkpoints",
    *_CONSUMERS,
)


class RefusedError(Exception):
    """What a program in another language says in place of a :class:`carve_runtime.CarveError`."""


class ForeignError(Exception):
    """A program in another language failed in a way that it has no error for."""


class CrashError(Exception):
    """A program that a surface started has ended, though it should serve further inputs."""


class Surface(Protocol):
    """One part of the product; the module of a surface makes it with ``prepare(folder)``.

    ``folder`` is an empty folder of the surface's own.
    """

    @property
    def inputs(self) -> Any:
        """A hypothesis strategy of ``bytes``: what one input is, the surface knows."""
        ...

    def use(self, data: bytes) -> None:
        """Feed one input to the product, leave no trace of it, and raise what the product raises.

        Typed are a ``CarveError``, and a :class:`RefusedError` in place of another language's own.
        """
        ...


def prepare(name: str, folder: Path) -> Surface:
    """Return a surface that is ready for inputs.

    Args:
        name: of :data:`SURFACES`.
        folder: for its files; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    room = "surfaces.consumers" if name in _CONSUMERS else "surfaces"
    surface: Surface = import_module(f"tests.fuzz.{room}.{name}").prepare(folder)
    return surface
