"""A bundle that is replaced or removed while it is open: answers stay those of what was opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from carve_runtime import BundleError, Carve
from tests.comparing import content
from tests.support import POCKET, SCENES, copied_pocket

SCENE, QUESTION = SCENES / "scene-00.jpg", "What letter is on the blue cross?"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copied_pocket(tmp_path / "bundle")


@pytest.mark.parametrize("by", ["nothing", "damaged files"])
def test_what_is_open_stays_as_it_was(by: str, bundle: Path) -> None:
    vlm = Carve.load(bundle, image_cache_bytes=0)
    expected = content(vlm.ask(SCENE, QUESTION))
    shutil.rmtree(bundle)
    if by == "damaged files":
        for path in (path for path in POCKET.rglob("*") if path.is_file()):
            (bundle / path.relative_to(POCKET)).parent.mkdir(parents=True, exist_ok=True)
            (bundle / path.relative_to(POCKET)).write_bytes(b"no more")
    assert content(vlm.ask(SCENE, QUESTION)) == expected
    early = vlm.ask(SCENE, QUESTION, steps="first", early_exit=True, layers=[0])
    assert early.answer
    with pytest.raises(BundleError):
        Carve.load(bundle)


def test_a_picture_that_is_replaced(bundle: Path, tmp_path: Path) -> None:
    """The cache goes by what a picture shows, not by its name."""
    vlm, picture = Carve.load(bundle), tmp_path / "picture.jpg"
    shutil.copy(SCENE, picture)
    first = content(vlm.ask(picture, QUESTION))
    Image.open(SCENES / "scene-01.jpg").save(picture)
    second = content(vlm.ask(picture, QUESTION))
    assert first != second
    shutil.copy(SCENE, picture)
    assert content(vlm.ask(picture, QUESTION)) == first
