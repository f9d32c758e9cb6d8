"""Measure how much noise and small objects change a view, for the default of ``min_change``.

python -m tools.research.pocket.changes            # prints the table
python -m tools.research.pocket.changes --write    # and fills docs/watch.md
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

import click
import msgspec
import numpy as np
from PIL import Image

from carve_eval.reporting.tables import Row, Table, open_console
from carve_models.image_rules import FixedImage
from carve_models.manifest import read_manifest
from carve_runtime import WatchSettings
from carve_runtime.images.change import change_between
from carve_runtime.images.preprocess import preprocess
from carve_runtime.method.geometry import RGB
from tools.checks.figures import ROOT, publish
from tools.research.pocket.world.backgrounds import CANVAS
from tools.research.pocket.world.render import render
from tools.research.pocket.world.scenes import SMALL, Item, Scene, sample_scene
from tools.research.pocket.world.vocabulary import LETTERS
from tools.shared.report import Report

_COMMAND = "python -m tools.research.pocket.changes"
_SEED, _SCENES = 5, 40
_OBJECTS, _DISTRACTORS = 6, 2
_JPEG_QUALITY = 75
#: Pixels by which an object moves: a tenth of its side or less.
_STEP = 4
_COLUMNS = ("what differs", "least", "median", "most", "asked again")


@dataclass(frozen=True)
class _Camera:
    """What a camera adds to a scene.

    Attributes:
        noise: standard deviation of each byte, independent of the others.
        jpeg: whether frames arrive as JPEG, as those of webcams do.
    """

    noise: float = 0.0
    jpeg: bool = False

    def take(self, scene: Scene, rng: np.random.Generator) -> RGB:
        """Return a frame, (H, W, 3) uint8."""
        pixels = np.asarray(render(scene), np.float64)
        pixels = pixels + rng.normal(0, self.noise, pixels.shape)
        frame: RGB = pixels.round().clip(0, 255).astype(np.uint8)
        if not self.jpeg:
            return frame
        encoded = io.BytesIO()
        Image.fromarray(frame).save(encoded, "JPEG", quality=_JPEG_QUALITY)
        return np.asarray(Image.open(encoded))


#: Returns a scene in which something has happened to its last object.
_Event: TypeAlias = Callable[[Scene], Scene]


def _changed(change: Callable[[Item], Item]) -> _Event:
    return lambda scene: replace(scene, items=(*scene.items[:-1], change(scene.items[-1])))


def _other_text(item: Item) -> Item:
    letter = LETTERS[(LETTERS.index(item.text) + 1) % len(LETTERS)] if item.text in LETTERS else "A"
    return replace(item, text=letter)


#: What happens between two frames, and how they are taken.
CASES: Mapping[str, tuple[_Event, _Camera]] = {
    "noise of 2 levels": (lambda scene: scene, _Camera(2)),
    f"noise of 2 levels, then JPEG of quality {_JPEG_QUALITY}": (
        lambda scene: scene,
        _Camera(2, jpeg=True),
    ),
    "noise of 5 levels": (lambda scene: scene, _Camera(5)),
    "noise of 10 levels": (lambda scene: scene, _Camera(10)),
    "a small object is gone": (lambda scene: replace(scene, items=scene.items[:-1]), _Camera(2)),
    f"it has moved by {_STEP} pixels": (
        _changed(lambda item: replace(item, x=item.x + _STEP)),
        _Camera(2),
    ),
    "another letter stands on it": (_changed(_other_text), _Camera(2)),
}


def _scenes() -> Iterator[Scene]:
    for index in range(_SCENES):
        rng = np.random.default_rng([_SEED, index])
        yield sample_scene(rng, "test", objects=_OBJECTS, sides=SMALL, distractors=_DISTRACTORS)


def measure(rule: FixedImage, event: _Event, camera: _Camera, scenes: int = _SCENES) -> list[float]:
    """Return the change between two frames of each scene, before and after an event."""
    rng = np.random.default_rng(_SEED)
    changes = []
    for scene in islice(_scenes(), scenes):
        frames = (camera.take(each, rng) for each in (scene, event(scene)))
        before, after = (preprocess(frame, rule) for frame in frames)
        changes.append(change_between(before, after, rule))
    return changes


def _table(name: str, rule: FixedImage) -> Table:
    threshold = WatchSettings().min_change
    rows: list[Row] = []
    for label, (event, camera) in CASES.items():
        changes = measure(rule, event, camera)
        spelled = (f"{value:.1f}" for value in (min(changes), np.median(changes), max(changes)))
        asked = sum(change >= threshold for change in changes)
        rows.append([label, *spelled, f"{asked} of {len(changes)}"])
    side = rule.size[0]
    return Table(name, f"A view of {side} x {side} pixels", _COLUMNS, rows)


def pocket_rule() -> FixedImage:
    """Return what pocket sees of a picture."""
    rule = read_manifest(ROOT / "models" / "pocket").image
    assert isinstance(rule, FixedImage)
    return rule


@click.command()
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(*, write: bool) -> None:
    """Measure views of pocket, and views that show every pixel of the scene."""
    rule = pocket_rule()
    side, patch = (CANVAS, CANVAS), rule.patch_size
    full = msgspec.structs.replace(
        rule, resize_to=side, size=side, grid=(CANVAS // patch, CANVAS // patch)
    )
    tables = [_table("reduced", rule), _table("full", full)]
    console = open_console()
    for table in tables:
        table.show(console)
    if write:
        publish("changes", Report(_COMMAND, tables))


if __name__ == "__main__":
    main()
