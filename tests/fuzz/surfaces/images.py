"""Encoded pictures with bytes exchanged, lost and doubled, in the formats that Pillow writes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from carve_runtime import Carve
from carve_runtime.images.load import load_image
from tests.fuzz.files import tiny_picture
from tests.fuzz.mutations import byte_edits, damaged

#: How the good pictures are written: format, mode, options.
_FORMATS: list[tuple[str, str, dict[str, Any]]] = [
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {"transparency": 0}),
    ("PNG", "I;16", {}),
    ("PNG", "1", {}),
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "CMYK", {}),
    ("JPEG", "L", {}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "L", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("AVIF", "RGB", {}),
    ("JPEG2000", "RGB", {}),
    ("ICO", "RGBA", {}),
    ("PPM", "RGB", {}),
    ("TGA", "RGB", {}),
    ("PCX", "RGB", {}),
    ("SGI", "RGB", {}),
    ("DDS", "RGBA", {}),
    ("PDF", "RGB", {}),
    ("EPS", "RGB", {}),
]
#: Pixels of the pictures that the model looks at as well.
_SMALL = 1 << 14


class _Images:
    def __init__(self) -> None:
        self._vlm = Carve.load(verify=False, threads=1, image_cache_bytes=0)
        good = [_encoded(*way) for way in _FORMATS]
        self.inputs = st.sampled_from(good).flatmap(
            lambda data: byte_edits(len(data)).map(lambda edits: damaged(data, edits))
        )

    def use(self, data: bytes) -> None:
        """Read a picture, and let the model see it unless it is large."""
        pixels = load_image(data)
        if pixels.shape[0] * pixels.shape[1] <= _SMALL:
            self._vlm.open(pixels)


def _encoded(kind: str, mode: str, options: dict[str, Any]) -> bytes:
    picture = Image.fromarray(tiny_picture())
    if mode == "I;16":
        deep = np.asarray(picture.convert("L"), np.uint16) * 257
        picture = Image.fromarray(deep)
    else:
        picture = picture.convert(mode)
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def prepare(_: Path) -> _Images:
    """Return the surface."""
    return _Images()
