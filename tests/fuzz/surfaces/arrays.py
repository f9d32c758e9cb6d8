"""Arrays, and what is none, given to everything public that takes an array."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from carve_runtime import (
    Carve,
    attention_entropy,
    fuse_contrast,
    load_image,
    refine_image,
    select_regions,
)
from tests.fuzz.mutations import ODD, described

_DTYPES = ["uint8", "bool", "int8", "int64", "uint64", "float16", "float32", "float64", "complex64"]
_DTYPES += ["S3", "U2", "object", "datetime64[s]"]
_SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 9, 40, 300])
#: What a description becomes.
_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "array": lambda array: array,
    "list": lambda array: array.tolist(),
    "transposed": lambda array: array.T,
    "every second": lambda array: array[::2],
    "reversed": lambda array: array[..., ::-1],
    "read-only": lambda array: np.broadcast_to(array, array.shape),
    "bytes": lambda array: array.tobytes(),
    "memoryview": lambda array: memoryview(array),
    "masked": lambda array: np.ma.masked_array(array),
    "picture": lambda array: Image.fromarray(array),
    "matrix": lambda array: array.view(np.matrix),
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
}
_FILLS = ("random", "zero", "nan", "inf", "-inf", "largest", "negative", "constant")
_MODES = ("on", "off", "auto", None, 3)
_NUMBERS = st.sampled_from([0, 1, 2, 3, 9, -1, 0.2, 0.5, 1e-8, 1e300, None, "auto"])

_ARRAY = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(_DTYPES),
            "shape": st.lists(_SIZES, max_size=4) | st.tuples(_SIZES, _SIZES, st.just(3)),
            "fill": st.sampled_from(_FILLS),
            "as": st.sampled_from(sorted(_WRAPPERS)),
        }
    ),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(("float32", "float64", "uint8", "bool")),
            "shape": st.sampled_from([(2, 3, 6), (2, 6, 4), (1, 1, 6), (8, 9), (8, 9, 3), (2, 6)]),
            "fill": st.sampled_from(_FILLS),
            "as": st.just("array"),
        }
    ),
    st.fixed_dictionaries({"odd": st.integers(0, len(ODD) - 1)}),
)
#: Most numbers of an array.
_MOST = 1 << 24
_PAIR = st.lists(_NUMBERS, max_size=3) | st.sampled_from([(2, 3), (9, 8), (8, 9)])
_CALLS = st.sampled_from(["load", "open", "fuse", "select", "refine", "entropy"])


def _made(said: dict[str, Any]) -> Any:
    if "odd" in said:
        return ODD[said["odd"]]
    shape = tuple(said["shape"])
    if math.prod(shape) > _MOST:
        raise ValueError(f"{shape} is too much for a test")
    values = np.random.default_rng(0).random(shape) * 255
    fills: dict[str, Any] = {"zero": 0.0, "nan": np.nan, "inf": np.inf, "-inf": -np.inf}
    fills |= {"largest": 3e38, "negative": -1.0, "constant": 7.0}
    if said["fill"] != "random":
        values[...] = fills[said["fill"]]
    dtype = np.dtype(said["dtype"])
    with np.errstate(all="ignore"):
        array = values.astype("int64").astype(dtype) if dtype.kind == "M" else values.astype(dtype)
    return _WRAPPERS[said["as"]](array)


class _Arrays:
    inputs = described(
        call=_CALLS,
        first=_ARRAY,
        second=_ARRAY,
        pair=_PAIR,
        other=_PAIR,
        number=_NUMBERS,
        count=_NUMBERS,
        mode=st.sampled_from(_MODES),
    )

    def __init__(self) -> None:
        self._vlm = Carve.load(verify=False, threads=1, image_cache_bytes=0)

    def use(self, data: bytes) -> None:
        """Call one function."""
        said = json.loads(data)
        try:
            first, second = _made(said["first"]), _made(said["second"])
        except (TypeError, ValueError, KeyError, IndexError):
            return  # numpy or Pillow has no such object
        _USES[said["call"]](self._vlm, first, second, said)


def _fuse(_: Carve, first: Any, second: Any, said: dict[str, Any]) -> None:
    fuse_contrast(
        first,
        second,
        grid=said["pair"],
        image_size=said["other"],
        layers=said["pair"],
        regularizer=said["number"],
        contrast=said["mode"],
    )


def _select(_: Carve, first: Any, __: Any, said: dict[str, Any]) -> None:
    select_regions(first, mask_top_p=said["number"], max_regions=said["count"])


_USES: dict[str, Callable[[Carve, Any, Any, dict[str, Any]], object]] = {
    "load": lambda _, first, __, said: load_image(first),
    "open": lambda vlm, first, _, said: vlm.open(first),
    "fuse": _fuse,
    "select": _select,
    "refine": lambda _, first, second, said: refine_image(first, second),
    "entropy": lambda _, first, __, said: attention_entropy(first),
}


def prepare(_: Path) -> _Arrays:
    """Return the surface."""
    return _Arrays()
