"""Miniature data sets in the published formats: JSON of our own, pictures of ``tests/scenes``."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import SCENES

DATA = Path(__file__).parent / "data"

#: Where each data set wants its pictures, and the scene that takes the place.
IMAGES = {
    "vstar": {
        "direct_attributes/sa_1.jpg": "scene-01.jpg",
        "direct_attributes/sa_2.jpg": "scene-02.jpg",
        "relative_position/sa_3.jpg": "scene-03.jpg",
    },
    "vstar-files": {
        "direct_attributes/sa_1.jpg": "scene-01.jpg",
        "relative_position/sa_3.jpg": "scene-03.jpg",
    },
    "textvqa": {
        "train_images/0a1b.jpg": "scene-01.jpg",
        "train_images/0c2d.jpg": "scene-02.jpg",
    },
    "pope": {
        "val2014/COCO_val2014_000000000001.jpg": "scene-01.jpg",
        "val2014/COCO_val2014_000000000002.jpg": "scene-02.jpg",
    },
    "aokvqa": {
        "val2017/000000000001.jpg": "scene-01.jpg",
        "val2017/000000000002.jpg": "scene-02.jpg",
    },
}


def lay_out(name: str, folder: Path) -> Path:
    """Copy a miniature data set into a folder, pictures included; return the data set's folder."""
    target = folder / name
    shutil.copytree(DATA / name, target)
    for image, scene in IMAGES[name].items():
        (target / image).parent.mkdir(exist_ok=True)
        shutil.copyfile(SCENES / scene, target / image)
    return target
