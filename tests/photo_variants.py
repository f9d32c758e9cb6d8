"""Real files in every format that a photograph comes in, with the pixels that must be read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support import PHOTOS

Array = NDArray[Any]
_ORIENTATION = 0x0112  # the EXIF tag
_GREY, _COLOR, _COLOR_ALPHA = 0, 2, 6  # PNG colour types


@dataclass(frozen=True)
class Variant:
    """One file.

    Attributes:
        path: where it is.
        pixels: (H, W, 3) uint8, what a reader must see.
        tolerance: largest mean difference from ``pixels``; above zero where the format loses.
    """

    path: Path
    pixels: Array
    tolerance: float = 0.0


def photo(name: str = "landscape") -> Array:
    """Return a photograph's pixels, (H, W, 3) uint8."""
    with Image.open(PHOTOS / f"{name}.jpg") as picture:
        return np.array(picture)


def png(
    width: int, height: int, depth: int, kind: int, rows: Iterable[bytes], *extra: bytes
) -> bytes:
    """Return a PNG file made by hand: Pillow writes neither 16-bit colour nor wrong headers."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [b"IHDR" + header, *extra, b"IDAT" + body, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def sixteen_bits(values: Array, kind: int, *extra: bytes) -> bytes:
    """Return a 16-bit PNG of (H, W) or (H, W, C) values."""
    height, width = values.shape[:2]
    return png(width, height, 16, kind, (row.astype(">u2").tobytes() for row in values), *extra)


def over_white(color: Array, alpha: Array) -> Array:
    """Return (H, W, 3) colours laid over white with (H, W) alpha, 0..255."""
    share = alpha[..., None] / 255
    return np.asarray((color * share + 255 * (1 - share)).round(), np.uint8)


def _grey(color: Array) -> Array:
    return np.repeat(np.asarray(Image.fromarray(color).convert("L"))[..., None], 3, axis=2)


def _ramp(color: Array) -> Array:
    """Alpha from transparent at the left to opaque at the right."""
    row = np.linspace(0, 255, color.shape[1]).round().astype(np.uint8)
    return np.broadcast_to(row, color.shape[:2])


def _save(pixels: Array | Image.Image, path: Path, **options: Any) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return path


def _write(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


def _shown(name: str) -> Callable[[Path], Variant]:
    return lambda folder: Variant(PHOTOS / f"{name}.jpg", photo(name))


def _tiny(folder: Path) -> Variant:
    pixels = photo()[100:105, 200:207]
    return Variant(_save(pixels, folder / "tiny.png"), pixels)


def _palette(folder: Path) -> Variant:
    picture = Image.fromarray(photo()).quantize(64)
    colors = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    return Variant(_save(picture, folder / "palette.png"), colors[np.asarray(picture)])


def _palette_alpha(folder: Path) -> Variant:
    picture = Image.fromarray(photo("portrait")).quantize(32)
    colors = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    alpha = np.linspace(0, 255, 32).astype(np.uint8)
    path = _save(picture, folder / "palette-alpha.png", transparency=alpha.tobytes())
    indices = np.asarray(picture)
    return Variant(path, over_white(colors[indices], alpha[indices]), tolerance=0.6)


def _color_alpha(folder: Path) -> Variant:
    color = photo()
    alpha = _ramp(color)
    path = _save(np.dstack([color, alpha]), folder / "rgba.png")
    return Variant(path, over_white(color, alpha), tolerance=0.6)


def _grey_alpha(folder: Path) -> Variant:
    color = _grey(photo("portrait"))
    alpha = _ramp(color)
    path = _save(np.dstack([color[..., 0], alpha]), folder / "la.png")
    return Variant(path, over_white(color, alpha), tolerance=0.6)


def _color_key(folder: Path) -> Variant:
    """One colour of an RGB image is declared transparent."""
    pixels = photo()[:64, :64].copy()
    pixels[:, :10] = key = (1, 200, 3)
    path = _save(pixels, folder / "key.png", transparency=key)
    return Variant(path, np.where((pixels == key).all(axis=2)[..., None], 255, pixels))


def _bilevel(folder: Path) -> Variant:
    picture = Image.fromarray(photo()).convert("1")
    pixels = np.repeat(np.asarray(picture)[..., None], 3, axis=2).astype(np.uint8) * 255
    return Variant(_save(picture, folder / "bilevel.png"), pixels)


def _grey_eight(folder: Path) -> Variant:
    pixels = _grey(photo("portrait"))
    return Variant(_save(pixels[..., 0], folder / "grey.png"), pixels)


def _cmyk(folder: Path) -> Variant:
    picture = Image.fromarray(photo()).convert("CMYK")
    return Variant(_save(picture, folder / "cmyk.jpg", quality=95), photo(), tolerance=3)


def _grey_sixteen(folder: Path) -> Variant:
    """All 65536 values, so that scaling, cutting and clipping differ."""
    values = np.arange(65536, dtype=np.uint16).reshape(128, 512)
    pixels = np.repeat((values / 257).round().astype(np.uint8)[..., None], 3, axis=2)
    return Variant(_write(sixteen_bits(values, _GREY), folder / "grey16.png"), pixels)


def _grey_sixteen_tiff(folder: Path) -> Variant:
    pixels = _grey(photo("portrait"))
    return Variant(_save(pixels[..., 0].astype(np.uint16) * 257, folder / "grey16.tiff"), pixels)


def _color_sixteen(folder: Path) -> Variant:
    pixels = photo("portrait")
    data = sixteen_bits(pixels.astype(np.uint16) * 257, _COLOR)
    return Variant(_write(data, folder / "rgb16.png"), pixels)


def _color_alpha_sixteen(folder: Path) -> Variant:
    color = photo("portrait")
    alpha = _ramp(color)
    data = sixteen_bits(np.dstack([color, alpha]).astype(np.uint16) * 257, _COLOR_ALPHA)
    return Variant(_write(data, folder / "rgba16.png"), over_white(color, alpha), tolerance=0.6)


def _grey_key_sixteen(folder: Path) -> Variant:
    """One value of a 16-bit grey image is declared transparent."""
    grey = photo()[:64, :64, 0].astype(np.uint16) * 257
    grey[:, :10] = 1234
    data = sixteen_bits(grey, _GREY, b"tRNS" + struct.pack(">H", 1234))
    pixels = np.repeat((grey // 257).astype(np.uint8)[..., None], 3, axis=2)
    pixels[:, :10] = 255
    return Variant(_write(data, folder / "grey16-key.png"), pixels)


def _rotated(orientation: int) -> Callable[[Path], Variant]:
    """Stored turned or mirrored; the EXIF tag says how to turn it back."""
    mirrored = {2: 0, 4: 2, 5: 1, 7: 3}  # quarter turns that follow the mirror
    turned = {1: 0, 3: 2, 6: 3, 8: 1}

    def make(folder: Path) -> Variant:
        pixels = photo()
        quarters = mirrored.get(orientation, turned.get(orientation, 0))
        stored = np.rot90(pixels, -quarters)
        if orientation in mirrored:
            stored = stored[:, ::-1]
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        path = folder / f"exif{orientation}.jpg"
        _save(np.ascontiguousarray(stored), path, exif=exif, quality=95)
        return Variant(path, pixels, tolerance=3)

    return make


def _progressive(folder: Path) -> Variant:
    path = _save(photo("portrait"), folder / "progressive.jpg", progressive=True, quality=95)
    return Variant(path, photo("portrait"), tolerance=3)


def _animation(suffix: str, **options: Any) -> Callable[[Path], Variant]:
    def make(folder: Path) -> Variant:
        picture = Image.fromarray(photo())
        path = folder / f"animation.{suffix}"
        frames = {"save_all": True, "append_images": [Image.new("RGB", picture.size, "red")]}
        return Variant(_save(picture, path, **frames, **options), photo(), tolerance=8)

    return make


MAKERS: dict[str, Callable[[Path], Variant]] = {
    "landscape": _shown("landscape"),
    "portrait": _shown("portrait"),
    "tiny": _tiny,
    "palette": _palette,
    "palette-alpha": _palette_alpha,
    "rgba": _color_alpha,
    "la": _grey_alpha,
    "color-key": _color_key,
    "bilevel": _bilevel,
    "grey": _grey_eight,
    "cmyk": _cmyk,
    "grey16": _grey_sixteen,
    "grey16-tiff": _grey_sixteen_tiff,
    "grey16-key": _grey_key_sixteen,
    "rgb16": _color_sixteen,
    "rgba16": _color_alpha_sixteen,
    **{f"exif{orientation}": _rotated(orientation) for orientation in range(1, 9)},
    "progressive": _progressive,
    "webp": _animation("webp", quality=95),
    "gif": _animation("gif"),
}


def make_variant(name: str, folder: Path) -> Variant:
    """Write one variant into a folder."""
    return MAKERS[name](folder)
