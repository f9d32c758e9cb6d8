"""Every photograph is read as method.md says, and nothing else is read at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carve_runtime import ImageError, load_image
from tests.photo_variants import MAKERS, make_variant, photo, png
from tests.support import PHOTOS

LANDSCAPE = PHOTOS / "landscape.jpg"


@pytest.mark.parametrize("name", MAKERS)
def test_reads_what_the_file_shows(name: str, tmp_path: Path) -> None:
    variant = make_variant(name, tmp_path)
    pixels = load_image(variant.path)
    assert pixels.shape == variant.pixels.shape
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    difference = np.abs(pixels.astype(int) - variant.pixels).mean()
    print(f"{name}: mean difference {difference:.3f}")
    assert difference <= variant.tolerance


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_input_gives_the_same(name: str, tmp_path: Path) -> None:
    path = make_variant(name, tmp_path).path
    pixels = load_image(path)
    with Image.open(path) as picture:
        inputs: list[Any] = [str(path), path.read_bytes(), picture, pixels]
        for given in inputs:
            np.testing.assert_array_equal(load_image(given), pixels)


def test_strided_arrays_are_read_right() -> None:
    pixels = photo()
    flipped = load_image(pixels[:, ::-1])
    np.testing.assert_array_equal(flipped, pixels[:, ::-1])
    assert flipped.flags.c_contiguous


def test_the_callers_array_may_change() -> None:
    pixels = photo()
    kept = load_image(pixels)
    pixels[:] = 0
    np.testing.assert_array_equal(kept, photo())


def bilevel(width: int, height: int, rows: int | None = None) -> bytes:
    """Return a PNG of one bit per pixel, with fewer rows than it claims if asked."""
    row = bytes((width + 7) // 8)
    return png(width, height, 1, 0, [row] * (height if rows is None else rows))


BAD_FILES = {
    "empty": (b"", r"not an image that Pillow can read. Give a JPEG, PNG"),
    "text": (b"What letter is on the red square?", r"not an image that Pillow can read. Give"),
    "truncated header": (LANDSCAPE.read_bytes()[:100], r"(not an image|cannot be decoded).*\. "),
    "truncated body": (LANDSCAPE.read_bytes()[:9000], r"cannot be decoded: .*truncated.*\. Check"),
    "bomb, header alone": (bilevel(200_000, 200_000, rows=1), r"too large: .*pixels.*\. Scale"),
    "bomb, real": (bilevel(18_000, 9_943), r"too large: .*178974000.*\. Scale the image down"),
    "one pixel": (bilevel(1, 1), r"is 1 x 1 pixels. Give an image of at least 2 x 2"),
    "one column": (bilevel(1, 50), r"is 1 x 50 pixels. Give an image of at least 2 x 2"),
}


@pytest.mark.parametrize("source", ["path", "bytes"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused(name: str, source: str, tmp_path: Path) -> None:
    data, message = BAD_FILES[name]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message):
        load_image(path if source == "path" else data)


def test_the_message_names_the_file(tmp_path: Path) -> None:
    missing, text = tmp_path / "missing.jpg", tmp_path / "notes.txt"
    text.write_text("not a picture")
    with pytest.raises(ImageError, match=r"there is no file .*missing\.jpg\. Check the path"):
        load_image(missing)
    with pytest.raises(ImageError, match=r"notes\.txt is not an image"):
        load_image(text)
    with pytest.raises(ImageError, match=r"is a folder.*\. "):
        load_image(tmp_path)


BAD_ARRAYS: dict[str, tuple[NDArray[Any], str]] = {
    "grey": (np.zeros((4, 4), np.uint8), r"shape \(4, 4\) and dtype uint8. Give an \(H, W, 3\)"),
    "alpha": (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\).*\. Give an \(H, W, 3\) uint8"),
    "channels first": (np.zeros((3, 8, 9), np.uint8), r"shape \(3, 8, 9\).*RGB order"),
    "batch": (np.zeros((1, 4, 4, 3), np.uint8), r"shape \(1, 4, 4, 3\)"),
    "float": (np.zeros((4, 4, 3), np.float32), r"dtype float32. Give an \(H, W, 3\) uint8"),
    "wide integers": (np.zeros((4, 4, 3), np.int64), r"dtype int64"),
    "no rows": (np.zeros((0, 4, 3), np.uint8), r"4 x 0 pixels"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_refused(name: str) -> None:
    array, message = BAD_ARRAYS[name]
    with pytest.raises(ImageError, match=message):
        load_image(array)


BAD_PICTURES: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "float": (lambda: Image.new("F", (4, 4)), r"floating-point values.*\. Convert it to 8 bits"),
    "negative": (lambda: Image.new("I", (4, 4), -1), r"more than 16 bits. Convert it to 8 bits"),
    "32 bits": (lambda: Image.new("I", (4, 4), 65536), r"more than 16 bits. Convert it to 8"),
    "one pixel": (lambda: Image.new("RGB", (1, 1)), r"1 x 1 pixels"),
    "bomb": (lambda: Image.new("1", (18_000, 9_943)), r"too large.*\. Scale the image down"),
    "truncated": (lambda: Image.open(io.BytesIO(LANDSCAPE.read_bytes()[:9000])), r"decoded.*\. "),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_bad_pillow_images_are_refused(name: str) -> None:
    make, message = BAD_PICTURES[name]
    with pytest.raises(ImageError, match=message):
        load_image(make())


def test_float_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "float.tiff"
    Image.new("F", (4, 4)).save(path)
    with pytest.raises(ImageError, match=r"floating-point values.*\. Convert it to 8 bits"):
        load_image(path)


FORMATS = ("jpeg", "png", "gif", "webp", "tiff", "bmp", "avif")
WRITABLE = Image.registered_extensions()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [name for name in FORMATS if f".{name}" in WRITABLE])
def test_damaged_files_are_read_or_refused(suffix: str) -> None:
    """Flip and cut bytes: an array or an ImageError comes back, nothing else."""
    stream = io.BytesIO()
    Image.fromarray(photo()[:48, :64]).save(stream, suffix)
    generator = np.random.default_rng(0)
    for _ in range(100):
        data = np.frombuffer(stream.getvalue(), np.uint8).copy()
        data[generator.integers(0, len(data), 3)] = generator.integers(0, 256, 3)
        cut = data[: generator.integers(1, 2 * len(data))].tobytes()
        with suppress(ImageError):
            assert load_image(cut).shape[2] == 3
