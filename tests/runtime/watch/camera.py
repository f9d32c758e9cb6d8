"""What a camera would see of a scene of pocket's world: noise, and an object that comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tools.research.pocket.world.render import render
from tools.research.pocket.world.scenes import SMALL, Scene, sample_scene
from tools.research.pocket.world.vocabulary import COLOR_NAMES, SHAPE_NAMES

#: Standard deviation of each byte.
NOISE = 3.0
#: Frames of each state.
LASTS = 3
#: What stands on the object, and later.
FIRST, SECOND = "U", "T"
_SEED = 0


@dataclass(frozen=True)
class Recording:
    """Frames in which an object is not there yet, is there, has moved, and says something else.

    Attributes:
        frames: (H, W, 3) uint8 each.
        question: about the object.
        changed: the frames in which something has happened, the first one among them.
        texts: what stands on the object from each of those on; ``None`` while it is not there.
    """

    frames: tuple[NDArray[np.uint8], ...]
    question: str
    changed: tuple[int, ...]
    texts: tuple[str | None, ...]


def record(seed: int = _SEED) -> Recording:
    """Return a recording of four states."""
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, "test", objects=5, sides=SMALL)
    *others, item = scene.items
    item = replace(item, text=FIRST, side=SMALL[1])
    moved = replace(item, x=(item.x + 320) % 560 + 40)
    states = [(), (item,), (moved,), (replace(moved, text=SECOND),)]
    scenes = [replace(scene, items=(*others, *state)) for state in states]
    return Recording(
        tuple(frame for each in scenes for frame in _taken(each, rng)),
        f"What letter is on the {COLOR_NAMES[item.color]} {SHAPE_NAMES[item.shape]}?",
        tuple(range(0, LASTS * len(scenes), LASTS)),
        tuple(state[0].text if state else None for state in states),
    )


def _taken(scene: Scene, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    pixels = np.asarray(render(scene), np.float64)
    for _ in range(LASTS):
        noisy = pixels + rng.normal(0, NOISE, pixels.shape)
        yield noisy.round().clip(0, 255).astype(np.uint8)
