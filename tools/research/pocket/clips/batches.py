"""Questions about clips of the training split, drawn and rendered as they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from carve_runtime.video.over_time.interval import spread
from tools.research.pocket.training.packing import Asked, Questions, TextBatch, Wording, pack
from tools.research.pocket.world.augment import augment, draw_offset
from tools.research.pocket.world.clips import FRAMES, Clip, large_clip, small_clip
from tools.research.pocket.world.questions import sample_questions
from tools.research.pocket.world.render import WHOLE, Window
from tools.research.pocket.world.views import Objects, View, random_window, windowed_view

#: Frames of a prompt, and how often.
_FRAMES = {1: 0.1, 2: 0.15, 3: 0.15, 4: 0.15, 6: 0.35, 12: 0.1}
#: Share of clips with small objects, and of clips that are seen as CARVE refines them.
_SMALL, _REFINED = 0.7, 0.55
#: How much earlier, and later, than its object a refined clip begins, in frames, and how much later
#: it ends; the last numbers are no part of it.
_BEGINS, _ENDS = (-5, 3), (-2, 6)


class ClipBatches(Dataset[Any]):
    """Batches of questions about clips; batch ``index`` depends on seed and index."""

    def __init__(self, wording: Wording, images: int, seed: int) -> None:
        """Take what all batches share.

        Args:
            wording: how questions are put.
            images: frames of a batch, of all of its clips together, at most.
            seed: of the sampling.
        """
        self._wording, self._images, self._seed = wording, images, seed

    def __getitem__(self, index: int) -> TextBatch:
        rng = np.random.default_rng([self._seed, index])
        count = int(rng.choice(list(_FRAMES), p=list(_FRAMES.values())))
        count = min(count, self._images)
        samples = [_sample(rng, count) for _ in range(self._images // count)]
        views = [view for sample, _ in samples for view in sample]
        return pack(self._wording, views, [asked for _, asked in samples])


def _sample(rng: np.random.Generator, count: int) -> Asked:
    """Return the views of a clip, ``count`` of them, and what is asked about them."""
    clip = small_clip(rng, "train") if rng.random() < _SMALL else large_clip(rng, "train")
    refined = rng.random() < _REFINED
    (first, stop), window = _focus(rng, clip) if refined else ((0, FRAMES), WHOLE)
    indices = spread(first, stop, count)
    indices += (indices[-1],) * (count - len(indices))  # every prompt of a batch has as many
    offset = draw_offset(rng)
    views = [augment(rng, windowed_view(clip.scene(index), window), offset) for index in indices]
    return views, _ask(rng, views)


def _focus(rng: np.random.Generator, clip: Clip) -> tuple[tuple[int, int], Window]:
    """Return when and where something is that comes and goes, roughly."""
    track = clip.brief[rng.integers(len(clip.brief))]
    first = max(0, track.frames[0] + int(rng.integers(*_BEGINS)))
    stop = min(FRAMES, track.frames[1] + int(rng.integers(*_ENDS)))
    return (first, stop), random_window(rng, track.item)


def _ask(rng: np.random.Generator, views: list[View]) -> Questions:
    asked = sample_questions(rng, in_any(views))
    return [(question, _showing(views, question.box)) for question in asked]


def in_any(views: list[View]) -> Objects:
    """Return the objects that any view shows, each as the first of those that show most of it."""
    shown: dict[tuple[int, int], Any] = {}
    for view in views:
        for item in view.objects:
            name = int(item["color"]), int(item["shape"])
            if name not in shown or item["visible"] > shown[name]["visible"]:
                shown[name] = item
    return np.array(list(shown.values()), views[0].objects.dtype)


def _showing(views: list[View], box: tuple[float, ...] | None) -> list[int]:
    """Return the numbers of the views where something is at just this place."""
    return [
        number
        for number, view in enumerate(views)
        if any(box == tuple(float(item[side]) for side in "xywh") for item in view.objects)
    ]
