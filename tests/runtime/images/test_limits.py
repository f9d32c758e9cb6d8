"""How large an image may be, and how much memory it takes to read one."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_runtime import Carve, ImageError, SettingsError, load_image
from carve_runtime.images.load import MAX_IMAGE_PIXELS
from carve_runtime.method.geometry import RGB
from tests.support import SCENES

SIZE = 3000, 2000
#: Prints by how many bytes for each pixel reading an image raised the most memory ever used.
MEASURE = """
import resource, sys
from PIL import Image
from carve_runtime import ImageError, load_image
Image.init()
with Image.open(sys.argv[1]) as picture:
    pixels = picture.width * picture.height
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_image(sys.argv[1])
except ImageError as error:
    print(error, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / pixels)
"""


def noise(mode: str) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    return Image.fromarray(values).resize(SIZE).convert(mode)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.tile(np.arange(SIZE[0], dtype=np.uint16), (SIZE[1], 1)))


#: EXIF data that says no more than that the picture lies on its side.
ON_ITS_SIDE = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [Image.new("P", SIZE, 9)]}

#: A file name, its picture, how it is saved, and the bytes for a pixel that it may take.
KINDS: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any], float]] = {
    "baseline": ("a.jpg", lambda: noise("RGB"), {}, 9),
    "progressive": ("a.jpg", lambda: noise("CMYK"), {"progressive": True, "subsampling": 0}, 14),
    "turned": ("a.jpg", lambda: noise("RGB"), {"exif": ON_ITS_SIDE}, 10),
    "palette": ("a.png", lambda: noise("P"), {"transparency": 3, "compress_level": 1}, 6),
    "alpha": ("a.png", lambda: noise("RGBA"), {"compress_level": 1}, 9),
    "one bit": ("a.png", lambda: Image.new("1", SIZE), {}, 6),
    "16 bits": ("a.png", sixteen_bits, {"transparency": 30}, 7.5),
    "animated": ("a.gif", lambda: noise("P"), FRAMES, 6),
    "webp": ("a.webp", lambda: noise("RGBA"), {"method": 0}, 28),
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource")
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_for_each_pixel(kind: str, tmp_path: Path) -> None:
    """14 of them, and twice that for dear decoders, stay under 1 GB at the limit."""
    name, make, options, most = KINDS[kind]
    make().save(tmp_path / name, **options)
    taken = float(measured(tmp_path / name).stdout)
    print(f"{kind}: {taken:.1f} bytes for a pixel")
    assert taken <= most
    assert most * MAX_IMAGE_PIXELS / (2 if name.endswith("webp") else 1) < 10**9


def measured(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource")
@pytest.mark.parametrize("mode", ["1", "P", "I;16"])
def test_a_small_file_of_a_huge_picture_is_not_decoded(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new(mode, (9000, 9000)).save(path)
    result = measured(path)
    assert (
        "bomb.png is too large: 9000 x 9000 pixels, and at most 67108864 are read" in result.stderr
    )
    assert float(result.stdout) < 0.1


def encoded(kind: str, size: tuple[int, int] = (240, 160), **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (90, 40, 20)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "webp", "tiff"])
def test_the_limit(kind: str) -> None:
    exact = 240 * 160 * (2 if kind == "webp" else 1)
    data = encoded(kind)
    assert load_image(data, max_image_pixels=exact).shape == (160, 240, 3)
    message = r"too large: 240 x 160 pixels, and at most \d+ are read.*\. Scale .* max_image_pixels"
    for image in (data, Image.open(io.BytesIO(data))):
        with pytest.raises(ImageError, match=message):
            load_image(image, max_image_pixels=exact - 1)
    with pytest.raises(ImageError, match=message):
        load_image(np.zeros((160, 240, 3), np.uint8), max_image_pixels=240 * 160 - 1)


@pytest.mark.parametrize(
    ("most", "shape"), [(38400, (160, 240)), (38399, (80, 120)), (9599, (40, 60)), (600, (20, 30))]
)
def test_a_large_jpeg_is_read_at_a_fraction(most: int, shape: tuple[int, int]) -> None:
    data = encoded("jpeg")
    if shape == (160, 240):
        assert load_image(data, max_image_pixels=most).shape[:2] == shape
    else:
        with pytest.warns(UserWarning, match=r"has 240 x 160 pixels.*boxes and masks refer"):
            assert load_image(data, max_image_pixels=most).shape[:2] == shape


@pytest.mark.parametrize("options", [{"progressive": True}, {}], ids=["progressive", "tiny limit"])
def test_a_jpeg_that_is_refused(options: dict[str, Any]) -> None:
    """The decoder holds every coefficient of the first; the second is too large at an eighth."""
    with pytest.raises(ImageError, match=r"too large: 240 x 160 pixels"):
        load_image(encoded("jpeg", **options), max_image_pixels=9600 if options else 599)


def test_a_session_and_a_bundle_keep_the_limit() -> None:
    vlm = Carve.load(max_image_pixels=10_000)
    for ask in (vlm.plain, vlm.ask):
        with pytest.raises(ImageError, match=r"the image is too large|is too large: 120 x 100"):
            ask(encoded("png", (120, 100)), "What is it?")
    small = encoded("png", (100, 100))
    with pytest.raises(ImageError, match=r"is too large: 120 x 100"):
        vlm.plain(small, "What is it?", refined=encoded("png", (120, 100)))
    for wrong in (0, 1.5, "many"):
        with pytest.raises(SettingsError, match=r"max_image_pixels is"):
            Carve.load(max_image_pixels=wrong)  # type: ignore[arg-type]


def test_a_thin_image_is_refused_before_it_is_decoded() -> None:
    data = encoded("png", (2000, 4))[:200]  # the pixels are cut off
    with pytest.raises(
        ImageError, match=r"have a ratio of 500\. Crop the image to a ratio of at m"
    ):
        load_image(data, max_aspect_ratio=200)


def test_a_strided_view_of_bytes_is_read() -> None:
    data = (SCENES / "scene-00.jpg").read_bytes()
    strided = np.repeat(np.frombuffer(data, np.uint8), 2).data[::2]
    np.testing.assert_array_equal(load_image(strided), load_image(data))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ImageError, match=r"is not a regular file\. Give one image file"):
            load_image(path)
    with pytest.raises(ImageError, match=r"cannot be decoded: .*embedded null"):
        load_image("a\0b")


def test_a_tile_larger_than_its_picture_is_not_decoded() -> None:
    """The decoder of TIFF takes memory for a whole tile, of which the picture may show a corner."""
    side, tile = 16, 20_000
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 0}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    entries += struct.pack("<HHII", 325, 4, 1, 8)
    file = b"II*\0" + struct.pack("<IH", 8, len(tags) + 1) + entries + bytes(4)
    with pytest.raises(ImageError, match=r"too large: 20000 x 20000 pixels"):
        load_image(file)


@pytest.mark.filterwarnings("ignore:.*max_image_pixels")
def test_a_fraction_of_a_thin_jpeg_has_two_sides() -> None:
    def read(width: int, height: int) -> RGB:
        stream = io.BytesIO()
        Image.new("RGB", (width, height), "red").save(stream, "JPEG")
        return load_image(stream.getvalue(), max_image_pixels=width * height // 10)

    assert read(7, 600).shape == (150, 2, 3)
    with pytest.raises(ImageError, match=r"too large: 2 x 300 pixels"):
        read(3, 600)
