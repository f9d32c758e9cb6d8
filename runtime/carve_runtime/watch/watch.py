"""Ask about the frames of a stream that changed, and keep the answers where nothing did."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from carve_models.errors import CarveError, PromptError, SettingsError, VideoError
from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import SettingsChanges, Variant, shown
from carve_runtime.decoder.model import Model
from carve_runtime.images.load import ImageInput
from carve_runtime.prompt.request import Request
from carve_runtime.result import CarveResult
from carve_runtime.session import ImageSession
from carve_runtime.watch.watched import Watched, WatchSettings

if TYPE_CHECKING:
    from typing_extensions import Self

#: A picture, or when it was taken and the picture.
Frame: TypeAlias = "ImageInput | tuple[float, ImageInput]"
#: Seconds by which two times may miss their distance: 0.3 - 0.2 is less than 0.1.
_ROUNDING = 1e-6


class Watch(Iterator[Watched]):
    """An iterator over the frames of a stream; :meth:`carve_runtime.Carve.watch` makes one.

    One frame is pulled at a time and none is kept but the one that was asked about last. A frame
    that cannot be read is an error that names it; the next call goes on behind it, unless the
    stream itself failed, as a :class:`carve_runtime.Video` does. Not for several threads at once.
    """

    def __init__(
        self,
        model: Model,
        frames: Iterable[Frame],
        questions: str | Sequence[str],
        settings: WatchSettings,
        variant: Variant | None,
        changes: SettingsChanges,
    ) -> None:
        """Check the questions; arguments and errors as for :meth:`carve_runtime.Carve.watch`."""
        self._questions = _questions(questions)
        self._model, self._settings = model, settings
        self._variant, self._changes = variant, changes
        budgets = [self._request(question).budget for question in self._questions]
        self._budget = max(budgets, key=lambda budget: budget.reserve)
        self._frames = _iterator(frames)
        self._index, self._seconds = -1, -math.inf
        self._begun: float | None = None
        self._asked_at = -math.inf
        self._session: ImageSession | None = None
        self._results: tuple[CarveResult, ...] = ()

    @property
    def session(self) -> ImageSession | None:
        """The frame that was asked about last, for more questions; ``None`` if there is none."""
        return self._session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the last frame, and close the stream if it can be closed: a generator can."""
        self._session, self._results = None, ()
        frames, self._frames = self._frames, iter(())
        close = getattr(frames, "close", None)
        if close is not None:
            close()

    def __next__(self) -> Watched:
        """Pull the next frame, and ask about it if that is due.

        Raises:
            ImageError: the frame cannot be read.
            PromptError: frame and question take more positions than the model has.
            SettingsError: the frame's time is no number, or before the last one's.
            Exception: what the stream raises goes through, and ends a generator.
        """
        frame = next(self._frames)
        self._index += 1
        with _naming_frame(self._index), refusing_memory_errors():
            return self._see(self._take_time(frame))

    def _take_time(self, frame: Frame) -> ImageInput:
        """Note when a frame was taken, and return its picture."""
        try:
            seconds, picture = frame if isinstance(frame, tuple) else (self._now(), frame)
            later = math.isfinite(seconds) and self._seconds <= seconds
        except (TypeError, ValueError, OverflowError):
            raise SettingsError(
                "it is a tuple, but not of seconds and a picture", "give (seconds, picture)"
            ) from None
        if not later:
            known = math.isfinite(self._seconds)
            before = f", the frame before it at {self._seconds:g}" if known else ""
            raise SettingsError(
                f"it was taken at {shown(seconds)} seconds{before}",
                "give frames in the order of their times",
            )
        self._seconds = float(seconds)
        return picture

    def _now(self) -> float:
        """Return the seconds since the first frame that had no time."""
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        return now - self._begun

    def _see(self, picture: ImageInput) -> Watched:
        """Return what holds of a picture, after asking if need be."""
        index, seconds, change = self._index, self._seconds, None
        if self._session is not None:
            if seconds - self._asked_at < self._settings.min_seconds - _ROUNDING:
                return Watched(index, seconds, None, False, self._results)
            change = self._session.change(picture)
            if change < self._settings.min_change:
                return Watched(index, seconds, change, False, self._results)
        self._ask(picture)
        return Watched(index, seconds, change, True, self._results)

    def _ask(self, picture: ImageInput) -> None:
        """Ask every question about a picture, which is encoded once."""
        requests = map(self._request, self._questions)
        first = next(requests)
        pixels = self._model.decode(picture, first.usage)
        self._session, self._results = None, ()  # the memory of the last one goes first
        session = ImageSession(
            self._model,
            [pixels],
            self._budget,
            first.usage,
            lower=first.settings.early_exit,
            scout_pixels=first.settings.scout_pixels,
        )
        self._results = tuple(map(session.answer, chain([first], requests)))
        self._session, self._asked_at = session, self._seconds

    def _request(self, question: str) -> Request:
        return self._model.requests.ask(question, self._variant, self._changes)


def _questions(given: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise PromptError(f"the questions are {type(given).__name__!r}", "give a str, or several")
    questions = tuple(given)
    if not questions:
        raise PromptError("there is no question", "give at least one")
    return questions


def _iterator(frames: Iterable[Frame]) -> Iterator[Frame]:
    if isinstance(frames, (str, bytes, os.PathLike)):
        raise VideoError(
            f"the frames are {type(frames).__name__!r}",
            "give an iterable of pictures; of a file, Video(path)",
        )
    try:
        return iter(frames)
    except TypeError:
        raise VideoError(
            f"the frames are {type(frames).__name__!r}", "give an iterable of pictures"
        ) from None


@contextmanager
def _naming_frame(index: int) -> Iterator[None]:
    """Say in an error which frame it is about."""
    try:
        yield
    except CarveError as error:
        raise type(error)(f"frame {index}: {error.cause}", error.remedy) from error
