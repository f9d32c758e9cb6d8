"""Views of scenes as the model is shown them, with what can be seen in each.

A view is the whole scene, a window of it, or a refined crop as CARVE makes it: black outside the
kept regions of a (simulated) saliency map. Views are squares of ``SIDE`` pixels; training takes
random crops of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_runtime.method.geometry import bounding_box
from carve_runtime.method.regions import select_regions
from tools.research.pocket.world.backgrounds import CANVAS
from tools.research.pocket.world.fonts import Split
from tools.research.pocket.world.render import WHOLE, Window, render
from tools.research.pocket.world.scenes import LARGE, MEDIUM, SMALL, Item, Scene, sample_scene
from tools.research.pocket.world.vocabulary import TEXTS

#: Side of a stored view in pixels; the model's input is a crop of it.
SIDE = 128
#: Objects listed for a view at most.
MAX_OBJECTS = 32
#: One object of a view: centre and size in its pixels; indices of colour, shape and text (-1:
#: none that could be read); share of its square that is inside and not black.
OBJECT = np.dtype(
    [
        ("x", "f4"),
        ("y", "f4"),
        ("w", "f4"),
        ("h", "f4"),
        ("visible", "f4"),
        ("color", "i1"),
        ("shape", "i1"),
        ("text", "i1"),
    ]
)
Objects: TypeAlias = NDArray[Any]
Kind = Literal["scene", "crop", "large"]

_GRID = 12  # of the simulated saliency
_STEP = 4  # saliency is computed at every fourth pixel
_LEAST_VISIBLE = 0.02


@dataclass(frozen=True)
class View:
    """What the model is shown.

    Attributes:
        pixels: (SIDE, SIDE, 3) uint8.
        objects: (n,) of ``OBJECT``.
    """

    pixels: NDArray[np.uint8]
    objects: Objects


def sample_view(rng: np.random.Generator, split: Split) -> View:
    """Draw a view of a random kind: a scene of small objects, a crop of one, or large objects."""
    kind = rng.choice(["scene", "crop", "large"], p=[0.28, 0.50, 0.22])
    if kind == "large":
        return whole_view(large_scene(rng, split))
    scene = small_scene(rng, split)
    return whole_view(scene) if kind == "scene" else sample_crop(rng, scene)


def small_scene(rng: np.random.Generator, split: Split, distractors: int | None = None) -> Scene:
    """Draw a cluttered scene of small objects, with up to three distractors unless told."""
    count = int(rng.integers(4)) if distractors is None else distractors
    objects = int(rng.integers(5, 27))
    return sample_scene(rng, split, objects=objects, sides=SMALL, distractors=count)


def large_scene(rng: np.random.Generator, split: Split) -> Scene:
    """Draw a scene of a few large objects."""
    objects, distractors = int(rng.integers(1, 7)), int(rng.integers(3))
    return sample_scene(rng, split, objects=objects, sides=LARGE, distractors=distractors)


def any_scene(rng: np.random.Generator, split: Split) -> Scene:
    """Draw a scene whose texts need a crop, or one whose texts can be read without."""
    return small_scene(rng, split) if rng.random() < 0.65 else large_scene(rng, split)


def crowded_scene(rng: np.random.Generator, split: Split) -> Scene:
    """Draw a scene full of objects that can be read: most examples of reading per view."""
    objects, distractors = int(rng.integers(8, 19)), int(rng.integers(2))
    return sample_scene(rng, split, objects=objects, sides=MEDIUM, distractors=distractors)


def whole_view(scene: Scene) -> View:
    """Return the whole scene."""
    return windowed_view(scene, WHOLE)


def windowed_view(scene: Scene, window: Window) -> View:
    """Return a window of a scene, magnified."""
    return View(shrink(render(scene, window)), _objects_within(scene, window, None))


def sample_crop(rng: np.random.Generator, scene: Scene) -> View:
    """Return a random window around one object, or a refined crop of it."""
    target = scene.objects[rng.integers(len(scene.objects))]
    mask = None
    if rng.random() < 0.6:
        window, mask = refined_window(rng, target.x, target.y)
    else:
        window = random_window(rng, target)
    image = render(scene, window)
    if mask is not None:
        image = Image.fromarray(np.asarray(image) * mask[..., None])
    return View(shrink(image), _objects_within(scene, window, mask))


def refined_window(
    rng: np.random.Generator, x: float, y: float
) -> tuple[Window, NDArray[np.bool_]]:
    """Simulate a saliency map that peaks near a point of the canvas; return its box and mask."""
    center = np.array([y, x]) * _GRID / CANVAS - 0.5 + rng.normal(0, 0.4, 2)
    rows, columns = np.mgrid[0:_GRID, 0:_GRID]
    distance = (rows - center[0]) ** 2 + (columns - center[1]) ** 2
    bump = rng.uniform(2, 8) * np.exp(-distance / (2 * rng.uniform(0.5, 1.3) ** 2))
    grid = (bump + rng.exponential(1.0, bump.shape)).astype(np.float32)
    side = CANVAS // _STEP
    saliency = Image.fromarray(grid).resize((side, side), Image.Resampling.BILINEAR)
    share = math.exp(rng.uniform(math.log(0.012), math.log(0.25)))
    regions = int(rng.choice([1, 1, 2, 3]))
    mask = select_regions(np.asarray(saliency), mask_top_p=share, max_regions=regions, rule="paper")
    x0, y0, x1, y1 = bounding_box(mask)
    window = (x0 * _STEP, y0 * _STEP, x1 * _STEP, y1 * _STEP)
    kept = mask[y0:y1, x0:x1].repeat(_STEP, axis=0).repeat(_STEP, axis=1)
    return window, kept


def random_window(rng: np.random.Generator, target: Item) -> Window:
    """Return a window of random size and ratio with the target anywhere inside."""
    side = math.exp(rng.uniform(math.log(72), math.log(440)))
    ratio = math.exp(rng.normal(0, 0.3))
    sizes = np.clip([side * ratio**0.5, side / ratio**0.5], target.side * 1.1, CANVAS)
    room = (sizes - target.side) / 2
    center = np.array([target.x, target.y]) + rng.uniform(-room, room)
    start = np.clip(center - sizes / 2, 0, CANVAS - sizes).astype(int)
    x1, y1 = (start + sizes).astype(int)
    return int(start[0]), int(start[1]), int(x1), int(y1)


def shrink(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image at the size of a view."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _objects_within(scene: Scene, window: Window, mask: NDArray[np.bool_] | None) -> Objects:
    x0, y0, x1, y1 = window
    scale_x, scale_y = SIDE / (x1 - x0), SIDE / (y1 - y0)
    objects = []
    for item in scene.items:
        half = item.side / 2
        box = (item.x - half, item.y - half, item.x + half, item.y + half)
        visible = visible_share(box, window, mask)
        if visible >= _LEAST_VISIBLE:
            x, y = (item.x - x0) * scale_x, (item.y - y0) * scale_y
            text = TEXTS.index(item.text) if item.text in TEXTS else -1
            size = item.side * scale_x, item.side * scale_y
            objects.append((x, y, *size, visible, item.color, item.shape, text))
    return np.array(objects[:MAX_OBJECTS], OBJECT)


def visible_share(
    box: tuple[float, float, float, float], window: Window, mask: NDArray[np.bool_] | None
) -> float:
    """Return the share of a box of the canvas that lies in the window and is kept."""
    left, right = max(box[0], window[0]), min(box[2], window[2])
    top, bottom = max(box[1], window[1]), min(box[3], window[3])
    if left >= right or top >= bottom:
        return 0.0
    share = (right - left) * (bottom - top) / ((box[2] - box[0]) * (box[3] - box[1]))
    if mask is None:
        return float(share)
    rows = slice(int(top) - window[1], math.ceil(bottom) - window[1])
    columns = slice(int(left) - window[0], math.ceil(right) - window[0])
    return float(share * mask[rows, columns].mean())
