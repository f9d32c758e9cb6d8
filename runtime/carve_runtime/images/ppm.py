"""Pictures that follow each other in a pipe, as FFmpeg sends them: binary PPM of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import BinaryIO

import numpy as np

from carve_models.errors import ImageError
from carve_runtime.images.load import MAX_IMAGE_PIXELS
from carve_runtime.method.geometry import RGB

_MAGIC = b"P6"
_HIGHEST = 255
#: Digits of a number in a header: more than any picture needs.
_MOST_DIGITS = 9
_LONGEST_COMMENT = 1 << 10  # bytes
_REMEDY = "send P6, for instance with ffmpeg -i SOURCE -f image2pipe -c:v ppm -"


def read_ppm(stream: BinaryIO, max_image_pixels: int = MAX_IMAGE_PIXELS) -> Iterator[RGB]:
    """Yield (H, W, 3) uint8 pictures until the stream ends; one is read at a time.

    Args:
        stream: of bytes.
        max_image_pixels: most pixels of one.

    Raises:
        ImageError: a picture is no PPM of 8 bits, is cut off, or is too large; or there is none.
    """
    for index in count():
        first = stream.read(1)
        if not first and not index:  # what should have written into it failed
            raise ImageError("the pipe is empty", _REMEDY)
        if not first:
            return
        picture = _picture(stream, first, max_image_pixels)
        if picture is None:
            raise ImageError(
                f"picture {index} in the pipe is no whole PPM of 8 bits and at most "
                f"{max_image_pixels} pixels",
                _REMEDY,
            )
        yield picture


def _picture(stream: BinaryIO, first: bytes, most: int) -> RGB | None:
    """Return the picture whose first byte was read, ``None`` if there is none."""
    if first + stream.read(1) != _MAGIC:
        return None
    width, height, highest = (_number(stream) for _ in range(3))
    if highest != _HIGHEST or not 0 < width * height <= most:
        return None
    pixels = stream.read(width * height * 3)
    if len(pixels) < width * height * 3:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _number(stream: BinaryIO) -> int:
    """Return the next number of a header, with the one space behind it; 0 if there is none."""
    space = stream.read(1)
    while space.isspace() or space == b"#":
        if space == b"#":
            stream.readline(_LONGEST_COMMENT)
        space = stream.read(1)
    digits = space
    while digits.isdigit() and len(digits) <= _MOST_DIGITS:
        byte = stream.read(1)
        if byte.isspace():
            return int(digits)
        digits += byte or b"#"
    return 0
