"""Clips: scenes whose distractors move, whose background pans, and where objects come and go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tools.research.pocket.world.backgrounds import CANVAS
from tools.research.pocket.world.fonts import Split
from tools.research.pocket.world.scenes import LARGE, SMALL, Item, Scene, sample_scene

#: Frames of a clip, and how many are shown in a second.
FRAMES, FPS = 32, 4.0
#: For how many frames an object is shown that comes and goes; the longest is no part of it.
BRIEF = 6, 11
#: Most objects of a clip that come and go, of small and of large ones.
_MOST_BRIEF = 3
#: Objects of a clip; the last number is no part of it.
_SMALL_COUNT, _LARGE_COUNT = (4, 11), (2, 5)
#: Fastest distractor, and fastest background, in pixels a frame.
_FASTEST, _FASTEST_PAN = 25.0, 4.0


@dataclass(frozen=True)
class Track:
    """An item over time.

    Attributes:
        item: the item, where it is in frame 0.
        frames: when it is shown, half-open.
        velocity: pixels a frame, to the right and down; it turns round at the edges.
    """

    item: Item
    frames: tuple[int, int] = (0, FRAMES)
    velocity: tuple[float, float] = (0.0, 0.0)

    def at(self, frame: int) -> Item:
        """Return the item where it is in a frame."""
        x, y = (
            _bounced(start + speed * frame, self.item.side)
            for start, speed in zip((self.item.x, self.item.y), self.velocity, strict=True)
        )
        return replace(self.item, x=x, y=y)

    @property
    def is_brief(self) -> bool:
        """Whether it comes and goes."""
        return self.frames != (0, FRAMES)


@dataclass(frozen=True)
class Clip:
    """Tracks in drawing order, in front of a background that moves.

    Attributes:
        tracks: no two items share colour and shape.
        background: its index.
        pan: pixels a frame that it moves to the left.
        split: decides fonts and backgrounds.
    """

    tracks: tuple[Track, ...]
    background: int
    pan: float
    split: Split

    def scene(self, frame: int) -> Scene:
        """Return what a frame shows."""
        items = tuple(
            track.at(frame) for track in self.tracks if track.frames[0] <= frame < track.frames[1]
        )
        return Scene(items, self.background, self.split, round(self.pan * frame))

    @property
    def brief(self) -> tuple[Track, ...]:
        """The objects that come and go."""
        return tuple(track for track in self.tracks if track.is_brief)


def small_clip(rng: np.random.Generator, split: Split) -> Clip:
    """Draw a clip of small objects and one to three distractors."""
    objects, distractors = int(rng.integers(*_SMALL_COUNT)), int(rng.integers(1, 4))
    scene = sample_scene(rng, split, objects=objects, sides=SMALL, distractors=distractors)
    return _moving(rng, scene)


def large_clip(rng: np.random.Generator, split: Split) -> Clip:
    """Draw a clip of a few large objects, and up to one distractor."""
    objects, distractors = int(rng.integers(*_LARGE_COUNT)), int(rng.integers(2))
    scene = sample_scene(rng, split, objects=objects, sides=LARGE, distractors=distractors)
    return _moving(rng, scene)


def _moving(rng: np.random.Generator, scene: Scene) -> Clip:
    """Let distractors move, and objects near the corners come and go."""
    count = int(rng.integers(1, _MOST_BRIEF + 1))
    brief = sorted(scene.objects, key=_from_corner)[: min(count, len(scene.objects))]
    tracks = []
    for item in scene.items:
        if item.is_distractor:
            right, down = rng.uniform(-_FASTEST, _FASTEST, 2)
            tracks.append(Track(item, velocity=(float(right), float(down))))
        elif item in brief:
            length = int(rng.integers(*BRIEF))
            first = int(rng.integers(FRAMES - length + 1))
            tracks.append(Track(item, (first, first + length)))
        else:
            tracks.append(Track(item))
    pan = float(rng.uniform(-_FASTEST_PAN, _FASTEST_PAN))
    return Clip(tuple(tracks), scene.background, pan, scene.split)


def _from_corner(item: Item) -> float:
    return float(np.hypot(min(item.x, CANVAS - item.x), min(item.y, CANVAS - item.y)))


def _bounced(position: float, side: int) -> float:
    """Return a position between the edges that a thing of this size reaches when it bounces."""
    low, high = side / 2, CANVAS - side / 2
    along = (position - low) % (2 * (high - low))
    return low + min(along, 2 * (high - low) - along)
