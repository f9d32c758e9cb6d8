"""Calibration: questions about images, and what the graphs of a bundle are fed with by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_runtime.backends.protocol import Array, BackendSettings, Value
from carve_runtime.bundle import Bundle
from carve_runtime.carve import Carve

#: Inputs of several runs of one graph, by name.
Feeds: TypeAlias = Sequence[Mapping[str, NDArray[Any]]]
#: Returns them, and makes them when it is called first.
FeedSource: TypeAlias = Callable[[], Feeds]

#: Recorded runs of one graph: enough to calibrate with. Those of a large decoder hold large caches:
#: no more are kept than fit into so many bytes, or one.
_RUNS = 64
_ROOM = 2 << 30
_SEED = 0


class Entry(msgspec.Struct, frozen=True):
    """One question of a calibration file; other keys are ignored.

    Attributes:
        image: a file, beside the calibration file.
        question: what is asked.
        answer: the right answer.
        center: of the object asked for, (x, y) in pixels of the image.
        box: around it, (x0, y0, x1, y1).
    """

    image: str
    question: str
    answer: str | None = None
    center: tuple[float, float] | None = None
    box: tuple[float, float, float, float] | None = None


def read_entries(path: Path) -> list[Entry]:
    """Read a calibration file, a JSON list of :class:`Entry`.

    Raises:
        SettingsError: it cannot be read, is malformed, has no question, or an empty one, or one
            about an image that is not there.
    """
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[Entry])
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror})", "give a file with calibration questions"
        ) from error
    except msgspec.DecodeError as error:
        raise SettingsError(
            f"{path} is no list of questions: {error}",
            'give a JSON list of {"image": "photo.jpg", "question": "..."}',
        ) from error
    if not entries:
        raise SettingsError(f"{path} has no question", "give at least one")
    for place, entry in enumerate(entries):
        if not (path.parent / entry.image).is_file():
            raise SettingsError(
                f"{path} asks about {entry.image!r} (entry {place}), and there is no such file",
                "give its path, relative to the calibration file",
            )
        if not entry.question.strip():
            raise SettingsError(f"{path} has an empty question (entry {place})", "write one")
    return entries


def record(
    bundle: Bundle,
    entries: Sequence[Entry],
    folder: Path,
    runs: int = _RUNS,
    room: int = _ROOM,
) -> dict[str, Feeds]:
    """Ask a bundle questions through CARVE, and return what its graphs were fed with.

    The question pass is the plain answer, so plain runs are among them. The decoder runs whole.

    Args:
        bundle: the bundle, asked with its default settings.
        entries: the questions.
        folder: of their images.
        runs: most runs to keep of each graph, drawn evenly from all.
        room: most bytes to keep of each graph, but for a single run.

    Returns:
        Feeds by the graph's name. A decoder's caches hold what is filled and no more.
    """
    sample = _Sample(runs, room)
    whole = replace(bundle.manifest.decoder, exit_layers=None)
    undivided = replace(bundle, manifest=replace(bundle.manifest, decoder=whole))
    vlm = Carve(undivided, BackendSettings(on_run=sample.add))
    for entry in entries:
        vlm.ask(folder / entry.image, entry.question, early_exit=False)
    return dict(sample.kept)


class _Sample:
    """An even sample of the runs of each graph, without knowing how many there will be."""

    def __init__(self, runs: int, room: int) -> None:
        self.kept: dict[str, list[dict[str, NDArray[Any]]]] = {}
        self._most: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._runs, self._room = runs, room
        self._rng = np.random.default_rng(_SEED)

    def add(self, graph: str, feeds: Mapping[str, Array | Value]) -> None:
        """Keep a run, in place of another one if there are enough, or pass it over."""
        kept, seen = self.kept.setdefault(graph, []), self._seen.get(graph, 0)
        most = self._most.setdefault(graph, self._runs)
        self._seen[graph] = seen + 1
        place = seen if seen < most else int(self._rng.integers(seen + 1))
        if place >= most:
            return
        kept[place : place + 1] = [{name: _copy(feed) for name, feed in feeds.items()}]
        while len(kept) > 1 and _bytes(kept) > self._room:
            kept.pop(int(self._rng.integers(len(kept))))
            self._most[graph] = len(kept)


def _bytes(runs: Feeds) -> int:
    return sum(array.nbytes for run in runs for array in run.values())


def _copy(feed: Array | Value) -> NDArray[Any]:
    return np.array(feed if isinstance(feed, np.ndarray) else feed.numpy())
