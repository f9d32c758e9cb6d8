"""Questions about clips of the development and test splits, made from fixed seeds.

Fonts and backgrounds are those that training never saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from carve_runtime import Video
from carve_runtime.method.geometry import Box
from tools.research.pocket.world.backgrounds import CANVAS
from tools.research.pocket.world.cases import Part, name
from tools.research.pocket.world.clips import FPS, FRAMES, Clip, Track, large_clip, small_clip
from tools.research.pocket.world.model_input import INPUT_SIDE
from tools.research.pocket.world.questions import Kind, place
from tools.research.pocket.world.render import render
from tools.research.pocket.world.scenes import Item
from tools.research.pocket.world.vocabulary import COLOR_NAMES, LETTERS, SHAPE_NAMES

#: "small" and "large" ask for the text on a small, or large, object that comes and goes; "other"
#: for place, colour and shape of a small one.
Group = Literal["small", "large", "other"]
GROUPS: tuple[Group, ...] = get_args(Group)
_SEEDS: dict[Part, int] = {"dev": 4211, "test": 8677}
#: Side of the box around a target, as a multiple of the target's.
_BOX = 2.2


@dataclass(frozen=True, eq=False)
class Rendered(Sequence[Any]):
    """The frames of a clip, each drawn once it is asked for: (CANVAS, CANVAS, 3) uint8."""

    clip: Clip
    _drawn: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, index: Any) -> Any:
        frame = range(FRAMES)[index]
        if frame not in self._drawn:
            self._drawn[frame] = np.asarray(render(self.clip.scene(frame)))
        return self._drawn[frame]


@dataclass(frozen=True, eq=False)
class ClipCase:
    """One question about one clip.

    Attributes:
        clip: what is shown.
        number: of the clip in its group.
        question: what is asked.
        answer: the right answer.
        group: the group of the split.
        kind: the kind of question.
        target: the object asked for; it comes and goes, and does not move.
    """

    clip: Clip
    number: int
    question: str
    answer: str
    group: Group
    kind: Kind
    target: Track

    @property
    def video(self) -> Video:
        """The clip as the product takes it."""
        return Video(Rendered(self.clip), fps=FPS)

    @property
    def interval(self) -> tuple[float, float]:
        """When the target is shown, in seconds."""
        first, stop = self.target.frames
        return first / FPS, stop / FPS

    @property
    def box(self) -> Box:
        """A square around the target, in pixels of the frames."""
        item = self.target.item
        side = min(round(item.side * _BOX), CANVAS)
        x, y = (round(min(max(at - side / 2, 0), CANVAS - side)) for at in (item.x, item.y))
        return x, y, x + side, y + side


def clip_cases(part: Part, group: Group, clips: int) -> Iterator[ClipCase]:
    """Yield the questions about the first clips of a group, in their order."""
    draw = large_clip if group == "large" else small_clip
    for number in range(clips):
        rng = np.random.default_rng([_SEEDS[part], GROUPS.index(group), number])
        clip = draw(rng, "test")
        for target in clip.brief:
            for kind, question, answer in _asked(clip, target, group):
                yield ClipCase(clip, number, question, answer, group, kind, target)


def _asked(clip: Clip, target: Track, group: Group) -> Iterator[tuple[Kind, str, str]]:
    """Yield kind, question and answer."""
    item = target.item
    if group != "other":
        noun = "letter" if item.text in LETTERS else "word"
        yield "read", f"What {noun} is on the {name(item)}?", item.text
        return
    x, y = (at / CANVAS * INPUT_SIDE for at in (item.x, item.y))
    yield "where", f"Where is the {name(item)}?", place(x, y)
    objects = [track.item for track in clip.tracks if not track.item.is_distractor]
    if _only(item, objects, "shape"):
        yield "color", f"What color is the {SHAPE_NAMES[item.shape]}?", COLOR_NAMES[item.color]
    elif _only(item, objects, "color"):
        shape = SHAPE_NAMES[item.shape]
        yield "shape", f"What shape is the {COLOR_NAMES[item.color]} object?", shape


def _only(item: Item, objects: list[Item], field: str) -> bool:
    return [getattr(other, field) for other in objects].count(getattr(item, field)) == 1
