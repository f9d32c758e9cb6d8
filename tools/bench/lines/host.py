"""What a photograph of 12 megapixels costs before and between the graphs of a small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import get_args

from PIL import Image

from carve_models.settings import ResizeRefined
from carve_runtime import Carve
from carve_runtime.prompt.request import Stage
from tools.bench.context import Context
from tools.bench.subjects import pocket
from tools.shared.figures import Figure
from tools.shared.timing import spread

_SIZE = 4000, 3000
_QUALITY = 92
_WARM = 2  # questions that fetch memory from the system
#: Stages that run graphs; all else is ours, but for the decoding of the file.
_GRAPHS = ("vision", "prefix", *get_args(Stage))
#: By setting, what it is called, and the bound.
_CASES: dict[ResizeRefined, tuple[str, float | None]] = {
    "by_size": ("pocket", 0.3),
    "twice": ("pocket, the refined image in full", None),
}


def measure(context: Context) -> Iterator[Figure]:
    """Yield the seconds of all but graphs and JPEG decoding, for both ways to resize the crop."""
    subject = pocket()
    path = photograph(subject.image, context.work / "photograph.jpg")
    vlm = Carve.load(subject.bundle, image_cache_bytes=0)
    decoding: list[float] = []
    note = "neither graphs nor JPEG decoding counted"
    for how, (case, reach) in _CASES.items():
        seconds = []
        for _ in range(_WARM + context.rounds):  # not in turn: either would give the other memory
            decoding.append(_decoding(path))
            timings = vlm.ask(path, subject.question, resize_refined=how).timings
            graphs = sum(timings[stage] for stage in _GRAPHS)
            seconds.append(timings["total"] - graphs - decoding[-1])
        value = spread(seconds[_WARM:])
        yield Figure("host steps, 12 megapixels", case, value, "s", reach, note=note)
    yield Figure("JPEG decoding, 12 megapixels", "Pillow alone", spread(decoding), "s")


def photograph(picture: Image.Image, path: Path) -> Path:
    """Write the middle of a picture, enlarged."""
    width, height = _SIZE
    top = (width * picture.height // picture.width - height) // 2
    large = picture.resize((width, height + 2 * top), Image.Resampling.BICUBIC)
    large.crop((0, top, width, top + height)).save(path, quality=_QUALITY)
    return path


def _decoding(path: Path) -> float:
    start = perf_counter()
    with Image.open(path) as picture:
        picture.load()
    return perf_counter() - start
