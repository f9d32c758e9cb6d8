"""Pairs of pictures, and how much Python says that the model sees them differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from carve_runtime import Carve

#: What changes may differ by, in levels of 255: subtractions are in single or double precision.
CLOSE = 1e-4


@dataclass(frozen=True)
class Changed:
    """A picture, another one, and their difference.

    Attributes:
        bundle: whose model sees them.
        before: file of the first.
        after: of the other.
        scout_pixels: most pixels that the model sees; its own limit if ``None``.
        change: as Python measures it; infinite for two sizes.
    """

    bundle: Path
    before: Path
    after: Path
    scout_pixels: int | None
    change: float


def altered(pictures: list[Path], folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each picture with others: with noise, with a spot, and in another size."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(19)
    for path in pictures:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        height, width = pixels.shape[:2]
        noisy = (pixels + random.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)
        spotted = pixels.copy()
        spotted[height // 2 : height // 2 + 5, width // 2 : width // 2 + 5] ^= 255
        for name, other in (("noisy", noisy), ("spotted", spotted), ("cut", pixels[1:])):
            after = folder / f"{path.stem}-{name}.png"
            Image.fromarray(other).save(after)
            yield path, after


def compared(
    bundle: Path, pairs: list[tuple[Path, Path]], scout_pixels: int | None = None
) -> Iterator[Changed]:
    """Compare in Python."""
    vlm = Carve.load(bundle)
    for before, after in pairs:
        with vlm.open(before, scout_pixels=scout_pixels) as session:
            yield Changed(bundle, before, after, scout_pixels, session.change(after))
