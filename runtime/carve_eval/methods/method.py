"""What every method is, and the picture that it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Protocol

from carve_eval.answers import Answer
from carve_eval.benchmarks.benchmark import Question
from carve_models.settings import Settings
from carve_runtime import Carve, CarveResult, ImageSession, load_image
from carve_runtime.method.geometry import RGB


class Picture:
    """An image file; what the methods need of it is computed once."""

    def __init__(self, vlm: Carve, path: Path) -> None:
        """Take a loaded bundle and the file; nothing is read yet."""
        self.vlm = vlm
        self._path = path
        # Of functions, not of methods: a circle of references would keep the session's memory.
        self._sessions = cache(partial(_open, vlm, path))
        self._passes = cache(partial(_ask_once, self._sessions))

    def session(self, scout_pixels: int | None = None) -> ImageSession:
        """Return the session of the image, which is opened once for each number of pixels."""
        return self._sessions(scout_pixels)

    def first_pass(self, text: str, layers: tuple[int, ...], max_new_tokens: int) -> CarveResult:
        """Return a question's plain answer and the attention to it, without a closer look."""
        return self._passes(text, layers, max_new_tokens)

    @cached_property
    def pixels(self) -> RGB:
        """The image, (H, W, 3) uint8."""
        return load_image(self._path)


class Method(Protocol):
    """One way to answer a question with a closer look."""

    @property
    def uses(self) -> frozenset[str]:
        """The settings that have an effect."""
        ...

    def require(self, settings: Settings) -> None:
        """Raise :class:`~carve_models.errors.SettingsError` where settings do not suit it."""
        ...

    def ask(self, picture: Picture, question: Question, settings: Settings) -> Answer:
        """Answer a question plainly and with a closer look."""
        ...


def _open(vlm: Carve, path: Path, scout_pixels: int | None) -> ImageSession:
    return vlm.open(path, scout_pixels=scout_pixels)


def _ask_once(
    sessions: Callable[[int | None], ImageSession],
    text: str,
    layers: tuple[int, ...],
    max_new_tokens: int,
) -> CarveResult:
    """Ask adaptively: any answer is sure enough, any attention focused, and no pass follows."""
    return sessions(None).ask(
        text,
        layers=layers,
        max_new_tokens=max_new_tokens,
        adaptive=True,
        sure_probability=0.0,
        focused_entropy=math.inf,
        early_exit=False,
    )
