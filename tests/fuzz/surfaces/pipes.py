"""PPM pictures that follow each other in a pipe, with bytes exchanged, lost and doubled."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from carve_runtime.images.ppm import read_ppm
from tests.fuzz.files import tiny_picture
from tests.fuzz.mutations import byte_edits, damaged

#: What stands between the numbers of a header.
_HEADERS = ("P6\n{0} {1}\n255\n", "P6 {0} {1} 255 ", "P6\n# a comment\n{0}\t{1}\n#\n255\n")
#: Few pixels, so that headers are damaged too.
_SIDE = 4


class _Pipes:
    def __init__(self) -> None:
        pixels = np.ascontiguousarray(tiny_picture()[:_SIDE, : 2 * _SIDE])
        good = [
            (header.format(2 * _SIDE, _SIDE).encode() + pixels.tobytes()) * times
            for header in _HEADERS
            for times in (1, 2)
        ]
        self.inputs = st.sampled_from(good).flatmap(
            lambda data: byte_edits(len(data)).map(lambda edits: damaged(data, edits))
        )

    def use(self, data: bytes) -> None:
        """Read pictures until the pipe ends."""
        for pixels in read_ppm(io.BytesIO(data)):
            assert pixels.ndim == 3
            assert pixels.dtype == np.uint8


def prepare(_: Path) -> _Pipes:
    """Return the surface."""
    return _Pipes()
