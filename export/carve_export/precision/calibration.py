"""Calibration: questions about images, and the inputs that a bundle's graphs get from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.errors import SettingsError
from carve_models.folder import MALFORMED, read_document
from carve_models.manifest import Manifest
from carve_runtime.backends.protocol import Array, BackendSettings, Value
from carve_runtime.bundle import Bundle
from carve_runtime.carve import Carve
from carve_runtime.decoder.embedder import Embedder
from carve_runtime.images.preprocess import preprocess
from carve_runtime.prompt.chunk import PromptChunk

#: Inputs of several runs of one graph, by name.
Feeds: TypeAlias = Sequence[Mapping[str, NDArray[Any]]]
#: Returns the inputs of a graph; the first call records them.
FeedSource: TypeAlias = Callable[[], Feeds]

#: Recorded runs of one graph: enough to calibrate with.
_MAX_RUNS = 64
#: Bytes of the recorded runs of one graph: those of a large decoder hold large caches. A single run
#: is kept whatever its size.
_MAX_BYTES = 2 << 30
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
        SettingsError: it cannot be read, is malformed, or has no question, an empty one, or one
            about an image that does not exist.
    """
    try:
        entries = msgspec.json.decode(read_document(path), type=list[Entry])
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror})", "give a file with calibration questions"
        ) from error
    except MALFORMED as error:
        raise SettingsError(
            f"{path} is not a list of questions: {error}",
            'give a JSON list of {"image": "photo.jpg", "question": "..."}',
        ) from error
    if not entries:
        raise SettingsError(f"{path} has no question", "give at least one")
    for place, entry in enumerate(entries):
        if not (path.parent / entry.image).is_file():
            raise SettingsError(
                f"{path} asks about {entry.image!r} (entry {place}), which does not exist",
                "give its path, relative to the calibration file",
            )
        if not entry.question.strip():
            raise SettingsError(f"{path} has an empty question (entry {place})", "write one")
    return entries


def record(
    bundle: Bundle,
    entries: Sequence[Entry],
    folder: Path,
    max_runs: int = _MAX_RUNS,
    max_bytes: int = _MAX_BYTES,
) -> dict[str, Feeds]:
    """Ask a bundle questions through CARVE, and return the inputs of its graphs.

    The question pass is the plain answer, so plain runs are among them. The decoder runs whole.

    Args:
        bundle: the bundle, asked with its default settings.
        entries: the questions.
        folder: of their images.
        max_runs: most runs to keep of each graph, drawn evenly from all.
        max_bytes: most bytes to keep of each graph, unless a single run is larger.

    Returns:
        Feeds by the graph's name. A decoder's caches hold what is filled and no more.
    """
    sample = _Sample(max_runs, max_bytes)
    whole = replace(bundle.manifest.decoder, exit_layers=None)
    undivided = replace(bundle, manifest=replace(bundle.manifest, decoder=whole))
    vlm = Carve(undivided, BackendSettings(on_run=sample.add))
    for entry in entries:
        vlm.ask(folder / entry.image, entry.question, early_exit=False)
    return dict(sample.kept)


def record_prompts(bundle: Bundle, entries: Sequence[Entry], folder: Path) -> dict[str, Feeds]:
    """Return the inputs of a bundle's graphs for questions, without running its decoder.

    Each question is one run of the decoder, of the whole prompt over no cache; see :func:`record`.
    """
    sample = _Sample(_MAX_RUNS, _MAX_BYTES)
    model = Embedder(bundle, BackendSettings(on_run=sample.add))
    for entry in entries:
        request = model.requests.plain(entry.question)
        pixels = model.decode(folder / entry.image, request.usage)
        seen = preprocess(pixels, bundle.manifest.image)
        image = model.image_features(seen, request.usage.counts)
        chunk = model.embed([*model.requests.prefix(), *request.prompt.single], [image])
        sample.add(names.DECODER, _without_past(chunk, bundle.manifest))
    return dict(sample.kept)


def _without_past(chunk: PromptChunk, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Return a prompt as the whole decoder takes it."""
    spec = manifest.decoder
    feeds: dict[str, NDArray[Any]] = {
        names.INPUTS_EMBEDS: chunk.embeds,
        names.ATTENTION_MASK: np.ones((1, chunk.length), np.int64),
        names.POSITION_IDS: chunk.positions,
    }
    if chunk.deepstack is not None:
        feeds[names.DEEPSTACK_EMBEDS] = chunk.deepstack
    empty = np.empty((1, spec.key_value_heads, 0, spec.head_dim), np.dtype(manifest.dtype))
    return feeds | dict.fromkeys(names.past_names(range(spec.layers)), empty)


class _Sample:
    """An even sample of the runs of each graph, without knowing how many there will be."""

    def __init__(self, max_runs: int, max_bytes: int) -> None:
        self.kept: dict[str, list[dict[str, NDArray[Any]]]] = {}
        self._limits: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._max_runs, self._max_bytes = max_runs, max_bytes
        self._rng = np.random.default_rng(_SEED)

    def add(self, graph: str, feeds: Mapping[str, Array | Value]) -> None:
        """Keep a run, in place of another if there are enough, or drop it."""
        kept, count = self.kept.setdefault(graph, []), self._counts.get(graph, 0)
        limit = self._limits.setdefault(graph, self._max_runs)
        self._counts[graph] = count + 1
        place = count if count < limit else int(self._rng.integers(count + 1))
        if place >= limit:
            return
        kept[place : place + 1] = [{name: _copy(feed) for name, feed in feeds.items()}]
        while len(kept) > 1 and _bytes(kept) > self._max_bytes:
            kept.pop(int(self._rng.integers(len(kept))))
            self._limits[graph] = len(kept)


def _bytes(runs: Feeds) -> int:
    return sum(array.nbytes for run in runs for array in run.values())


def _copy(feed: Array | Value) -> NDArray[Any]:
    return np.array(feed if isinstance(feed, np.ndarray) else feed.numpy())
