"""One tiny bundle of each family, and what a consumer is asked about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from carve_models.manifest import Manifest
from carve_runtime import Carve
from tests.consumers.cases import Changes, Pair, answered
from tests.support import PHOTOS, SCENES

#: A case of ``tests/cases`` for each family; all random, so their answers mean nothing.
FAMILIES = ("llava-clip-gqa", "qwen2_5_vl", "qwen3_vl", "smolvlm", "internvl")

QUESTION = "Where is the cat?"
FEW = 6  # tokens of an answer

#: Longest side of reduced pictures, and (width, height) of noise: tiny, thin both ways, square.
REDUCED = 160
NOISE = ((7, 5), (200, 33), (31, 170), (96, 96))


def pictures(folder: Path) -> list[Path]:
    """Return eight files of many shapes: a photograph, three reduced, and noise."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(15)
    made = [PHOTOS / "landscape.jpg"]
    for name in (PHOTOS / "portrait.jpg", SCENES / "scene-00.jpg", SCENES / "scene-05.jpg"):
        with Image.open(name) as picture:
            picture.thumbnail((REDUCED, REDUCED))
            made.append(folder / f"{name.stem}.png")
            picture.save(made[-1])
    for width, height in NOISE:
        blocks = random.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
        made.append(folder / f"noise-{width}x{height}.png")
        Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC).save(made[-1])
    return made


def changes_for(manifest: Manifest) -> Iterator[Changes]:
    """Yield the settings that a family's bundle is asked with, beside its own."""
    thresholds = {"sure_probability": 0.0, "focused_entropy": 100.0}
    yield {"final_prompt": "refined", "variant": "v2"}
    yield {"adaptive": True, **thresholds}
    yield {"adaptive": True, **thresholds, "sure_probability": 1.0}
    if manifest.decoder.exit_layers is not None:
        yield {"early_exit": True, "variant": "v3"}
        yield {"early_exit": True, "steps": "first", "contrast": "off", "final_prompt": "refined"}
    if least := manifest.image.least_pixels:
        yield {"scout_pixels": least, "final_pixels": 2 * least}
        yield {"final_pixels": 3 * least, "final_prompt": "refined", "max_refined_pixels": 20000}


def family_pairs(bundle: Path, images: list[Path]) -> list[Pair]:
    """Ask about all pictures with the pair and the refined image alone, about one in more ways.

    The first pair has the bundle's own settings: the page can ask no other.
    """
    vlm = Carve.load(bundle, image_cache_bytes=0)
    asked: list[tuple[Path, Changes]] = [(image, {}) for image in images]
    asked += [(image, {"final_prompt": "refined"}) for image in images]
    asked += [(images[1], changes) for changes in changes_for(vlm.manifest)]
    pairs = [answered(vlm, bundle, images[1], QUESTION)]
    for image, changes in asked:
        changes = {**changes, "max_new_tokens": FEW}
        result = vlm.ask(image, QUESTION, **changes)
        pairs.append(Pair(bundle, image, QUESTION, result, changes))
    return pairs
