"""Decode an image once, to the one array that boxes and masks refer to."""

from __future__ import annotations

import io
import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from carve_models.errors import ImageError
from carve_runtime.method.geometry import RGB

ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]"
)

# Raster formats only: Pillow would run Ghostscript on an EPS. Newer ones last.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "TGA", "WEBP", "JPEG2000", "AVIF")
_MIN_SIDE = 2  # one pixel has no content to look at
_STRIP = 64  # rows
_SIXTEEN_TO_EIGHT = 257  # 65535 / 255


def load_image(image: ImageInput) -> RGB:
    """Return an image as a contiguous, read-only (H, W, 3) uint8 RGB array.

    EXIF orientation is applied, 16 bits are scaled to 8 (Pillow's mode "I" counts as 16 bits),
    transparency is laid over white and the first frame of an animation is taken
    (``docs/method.md``, symbol ``I``).

    Args:
        image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.

    Raises:
        ImageError: not readable, not an image, too many pixels, or a side of one pixel.
    """
    if isinstance(image, np.ndarray):
        array = _from_array(image)
    elif isinstance(image, Image.Image):
        array = _decode(image, "the image")
    elif isinstance(image, (bytes, bytearray, memoryview)):
        array = _decode(io.BytesIO(image), "the given bytes")
    elif isinstance(image, (str, os.PathLike)):
        array = _decode(image, os.fspath(image))
    else:
        raise ImageError(
            f"the image is {type(image).__name__!r}",
            "give a path, encoded bytes, a Pillow image or an (H, W, 3) uint8 array",
        )
    height, width = array.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise ImageError(
            f"the image is {width} x {height} pixels",
            f"give an image of at least {_MIN_SIDE} x {_MIN_SIDE} pixels",
        )
    array.setflags(write=False)  # pictures are made of it later, and sessions share it
    return array


def _from_array(array: NDArray[Any]) -> RGB:
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ImageError(
            f"the array has shape {array.shape} and dtype {array.dtype}",
            "give an (H, W, 3) uint8 array in RGB order",
        )
    return np.array(array, order="C")  # a copy: the caller may write the next frame into theirs


def _decode(source: str | os.PathLike[str] | io.BytesIO | Image.Image, name: str) -> RGB:
    """Decode a file or an opened Pillow image, whose pixels may still be unread."""
    try:
        if isinstance(source, Image.Image):
            return _pixels(_to_rgb(source, ours=False))
        with Image.open(source, formats=_FORMATS) as picture:
            return _pixels(_to_rgb(picture, ours=True))
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {name}", "check the path of the image") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder", "give one image file") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large: {error}", "scale the image down first") from error
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: a format this Pillow lacks
        raise ImageError(
            f"{name} is not an image that Pillow can read", "give a JPEG, PNG or similar file"
        ) from error
    except ImageError:
        raise
    except Exception as error:  # damaged files raise whatever a decoder meets
        raise ImageError(f"{name} cannot be decoded: {error}", "check the file") from error


def _pixels(picture: Image.Image) -> RGB:
    """Copy strip by strip: what Pillow packs at a time stays in a processor's cache."""
    width, height = picture.size
    array = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        array[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)))
    return array


def _to_rgb(picture: Image.Image, *, ours: bool) -> Image.Image:
    """Return an upright RGB picture; what is not ours stays as it is."""
    limit = 2 * (Image.MAX_IMAGE_PIXELS or float("inf"))
    if picture.width * picture.height > limit:
        raise Image.DecompressionBombError(f"{picture.width} x {picture.height} pixels")
    if ours:
        ImageOps.exif_transpose(picture, in_place=True)  # the other way copies in any case
    else:
        picture = ImageOps.exif_transpose(picture)
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
