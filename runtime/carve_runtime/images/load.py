"""Decode an image once, to the one array that boxes and masks refer to."""

from __future__ import annotations

import io
import math
import os
import re
import stat
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from carve_models.errors import ImageError
from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import require_count
from carve_runtime.method.geometry import RGB

ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]"
)

#: Raster formats only: Pillow would run Ghostscript on an EPS. Newer ones last.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "TGA", "WEBP", "JPEG2000", "AVIF")
#: Of a picture on the web, which lost a slash where it became a path.
_ADDRESS = re.compile("https?:/")
_STRIP = 64  # rows
_SIXTEEN_TO_EIGHT = 257  # 65535 / 255

#: Pixels of the shorter side, at least: one has no content to look at.
MIN_SIDE = 2

#: Most pixels that are read unless told otherwise. A picture takes 14 bytes for each at most while
#: it is read, so that none takes 1 GB.
MAX_IMAGE_PIXELS = 1 << 26
#: Decoders that take as much for one pixel as others do for so many (of JPEG 2000, those of small
#: blocks; see ``docs/limits.md``).
_DEAR = {"WEBP": 2, "AVIF": 2, "JPEG2000": 4}
#: Scales at which the JPEG decoder reads.
_SCALES = (2, 4, 8)
#: What a JPEG's header ends with where all of its coefficients are in one scan.
_ONE_SCAN = bytes((0, 63, 0))


@refusing_memory_errors()
def load_image(
    image: ImageInput,
    *,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    max_aspect_ratio: float = math.inf,
) -> RGB:
    """Return an image as a contiguous, read-only (H, W, 3) uint8 RGB array.

    EXIF orientation is applied, 16 bits are scaled to 8 (Pillow's mode "I" counts as 16 bits),
    transparency is laid over white and the first frame of an animation is taken
    (``docs/method.md``, symbol ``I``). Sizes are checked in a file's header, before its pixels are
    decoded.

    Args:
        image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.
        max_image_pixels: most pixels; of WebP and AVIF half as many, of JPEG 2000 a quarter. A
            larger JPEG file of one scan is read at a half, a quarter or an eighth of its sides,
            with a warning.
        max_aspect_ratio: longest ratio of the sides.

    Raises:
        ImageError: not readable, not an image, too many pixels, too thin, or a side of one pixel.
        SettingsError: ``max_image_pixels`` is no whole number above 0.
    """
    require_count("max_image_pixels", max_image_pixels, most=math.inf)
    limits = _Limits(max_image_pixels, max_aspect_ratio)
    if isinstance(image, np.ndarray):
        array = _from_array(image, limits)
    elif isinstance(image, (Image.Image, bytes, bytearray, memoryview)):
        name = "the image" if isinstance(image, Image.Image) else "the given bytes"
        array = _decode(image, name, limits)
    elif isinstance(image, (str, os.PathLike)):
        array = _decode(image, os.fspath(image), limits)
    else:
        raise ImageError(
            f"the image is {type(image).__name__!r}",
            "give a path, encoded bytes, a Pillow image or an (H, W, 3) uint8 array",
        )
    array.setflags(write=False)  # pictures are made of it later, and sessions share it
    return array


def is_picture(path: Path) -> bool:
    """Return whether a file's name ends as that of a picture that can be read."""
    return path.suffix.lower() in _picture_suffixes()


@cache
def _picture_suffixes() -> frozenset[str]:
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in FORMATS)


@dataclass(frozen=True)
class _Limits:
    """What is refused before a pixel is read."""

    pixels: int
    ratio: float

    def require_sides(self, width: int, height: int) -> None:
        """Raise :class:`ImageError` unless there is something to look at."""
        if min(height, width) < MIN_SIDE:
            raise ImageError(
                f"the image is {width} x {height} pixels",
                f"give an image of at least {MIN_SIDE} x {MIN_SIDE} pixels",
            )
        ratio = max(height, width) / min(height, width)
        if ratio > self.ratio:
            raise ImageError(
                f"the image's sides, {width} x {height} pixels, have a ratio of {ratio:.0f}",
                f"crop the image to a ratio of at most {self.ratio:g}",
            )

    def require_pixels(self, name: object, width: int, height: int, kind: str | None) -> None:
        """Raise :class:`ImageError` if reading an image of this kind would take too much memory."""
        most = self.pixels // _DEAR.get(kind or "", 1)
        if width * height > most:
            raise ImageError(
                f"{name} is too large: {width} x {height} pixels, and at most {most} are read"
                + (f" of {kind}" if kind in _DEAR else ""),
                "scale the image down, or raise max_image_pixels (--max-image-pixels)",
            )


def _from_array(array: NDArray[Any], limits: _Limits) -> RGB:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ImageError(
            f"the array has shape {array.shape} and dtype {array.dtype}",
            "give an (H, W, 3) uint8 array in RGB order",
        )
    height, width = array.shape[:2]
    limits.require_sides(width, height)
    limits.require_pixels("the array", width, height, None)
    return np.array(array, order="C")  # a copy: the caller may write the next frame into theirs


def _decode(source: Any, name: str | bytes, limits: _Limits) -> RGB:
    """Decode a file, encoded bytes or a Pillow image, whose pixels may still be unread."""
    try:
        if isinstance(source, Image.Image):
            return _read(source, name, limits, ours=False)
        if isinstance(source, (str, os.PathLike)):
            _require_file(source)
        else:
            source = io.BytesIO(bytes(source))  # a view need not be contiguous
        with Image.open(source, formats=FORMATS) as picture:
            return _read(picture, name, limits, ours=True)
    except FileNotFoundError as error:
        remedy = "check the path of the image"
        if _ADDRESS.match(str(name)):
            remedy = "addresses are not fetched: download the image first"
        raise ImageError(f"there is no file {name!s}", remedy) from error
    except IsADirectoryError as error:
        raise ImageError(f"{name!s} is a folder", "give one image file") from error
    except PermissionError as error:
        raise ImageError(f"{name!s} may not be read", "ask for the right to read it") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name!s} is too large: {error}",
            "scale the image down, or raise both max_image_pixels and PIL.Image.MAX_IMAGE_PIXELS",
        ) from error
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: a format this Pillow lacks
        raise ImageError(
            f"{name!s} is not an image that Pillow can read", "give a JPEG, PNG or similar file"
        ) from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # damaged files raise whatever a decoder meets
        raise ImageError(f"{name!s} cannot be decoded: {error}", "check the file") from error


def _require_file(path: str | os.PathLike[str]) -> None:
    """Raise :class:`ImageError` for a pipe or a device, which might never end."""
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    if not stat.S_ISREG(mode):
        raise ImageError(f"{os.fspath(path)!s} is not a regular file", "give one image file")


def _read(picture: Image.Image, name: object, limits: _Limits, *, ours: bool) -> RGB:
    """Check a picture's size, and then read it upright, strip by strip.

    What Pillow packs at a time stays in a processor's cache, and no step makes a copy of the whole.
    """
    limits.require_sides(*picture.size)
    if ours and isinstance(picture, ImageFile.ImageFile):
        _shrink(picture, name, limits.pixels)
        limits.require_sides(*picture.size)
    for width, height in (picture.size, _tile_size(picture)):
        limits.require_pixels(name, width, height, picture.format)
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        if ours:
            ImageOps.exif_transpose(picture, in_place=True)
        else:
            picture = ImageOps.exif_transpose(picture)
    width, height = picture.size
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        array[top:bottom] = np.asarray(_to_rgb(picture.crop((0, top, width, bottom))))
    return array


def _tile_size(picture: Image.Image) -> tuple[int, int]:
    """Return (width, height) of a TIFF's tiles, 0 without any: the decoder reads one as a whole."""
    tags = getattr(picture, "tag_v2", {})
    width, height = (
        tags.get(tag, 0) for tag in (ExifTags.Base.TileWidth, ExifTags.Base.TileLength)
    )
    return int(width), int(height)


def _shrink(picture: ImageFile.ImageFile, name: object, most: int) -> None:
    """Let a JPEG that has more pixels be decoded at a fraction of its sides, and warn of it.

    Of several scans, a progressive JPEG's among them, the decoder holds every coefficient, whatever
    the scale.
    """
    width, height = picture.size
    if width * height <= most or not _is_one_scan(picture):
        return
    fits = [scale for scale in _SCALES if -(-width // scale) * -(-height // scale) <= most]
    if fits and picture.draft(None, _scaled(width, height, fits[0])) is not None:
        warnings.warn(
            f"{name!s} has {width} x {height} pixels, more than max_image_pixels: it is read as "
            f"{picture.width} x {picture.height}, to which boxes and masks refer",
            stacklevel=2,
        )


def _scaled(width: int, height: int, scale: int) -> tuple[int, int]:
    return max(width // scale, 1), max(height // scale, 1)


def _is_one_scan(picture: ImageFile.ImageFile) -> bool:
    """Whether a JPEG file has all coefficients of all colours in one scan.

    Pillow has read it up to the end of the first scan's header: the number of colours, two bytes
    for each, and which coefficients follow.
    """
    colors = getattr(picture, "layers", None)
    if colors is None or picture.fp is None:
        return False
    end = picture.fp.tell()
    picture.fp.seek(end - len(_ONE_SCAN) - 2 * colors - 1)
    header = picture.fp.read(1 + 2 * colors + len(_ONE_SCAN))
    picture.fp.seek(end)
    return header[:1] == bytes((colors,)) and header.endswith(_ONE_SCAN)


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Return an RGB picture."""
    if picture.mode.startswith("I"):
        return _over_white(_from_sixteen_bits(picture), picture)
    if picture.mode == "F":
        raise ImageError(
            "the image holds floating-point values of unknown range", "convert it to 8 bits first"
        )
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _over_white(pixels: Image.Image, stored: Image.Image) -> Image.Image:
    """Lay the one value that a 16-bit image may declare transparent over white."""
    key = stored.info.get("transparency")
    if not isinstance(key, int):
        return pixels
    opaque = Image.fromarray(np.asarray(stored) != key)
    return Image.composite(pixels, Image.new("RGB", pixels.size, "white"), opaque.convert("L"))


def _from_sixteen_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ImageError(
            "the image holds integers of more than 16 bits", "convert it to 8 bits first"
        )
    rounded = (values + _SIXTEEN_TO_EIGHT // 2) // _SIXTEEN_TO_EIGHT
    return Image.fromarray(rounded.astype(np.uint8)).convert("RGB")
