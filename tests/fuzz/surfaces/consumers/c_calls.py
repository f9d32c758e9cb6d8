"""libcarve's public calls with arguments that are each right or wrong."""

from __future__ import annotations

import ctypes as c
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.consumers.c.libcarve import AskOptions, Image
from tests.fuzz.libcarve import library, refusing
from tests.fuzz.mutations import described
from tests.support import POCKET

_SIDE = 64
_SIZES = st.integers(-1, _SIDE) | st.sampled_from([0, 1, 2, -(1 << 31), (1 << 31) - 1])
_USUAL_SIZES = st.integers(_SIDE // 2, _SIDE)
_FIELDS: dict[str, Any] = {name: kind for name, kind, *_ in AskOptions._fields_[1:]}
_INTEGERS = st.integers(-1, 6) | st.sampled_from([0, 1, -(1 << 31), (1 << 31) - 1])
_NUMBERS = st.floats() | st.sampled_from([0.0, 0.05, 0.5, 1.0, -1.0, 2.0])
_QUESTIONS = ["What is it?", "", " ", "\udcff", "é", "{text}", "</s>", "<image>", "word " * 900]


def _value(kind: Any) -> Any:
    return _NUMBERS if kind is c.c_double else _INTEGERS


_CHANGES = st.lists(
    st.sampled_from(
        [
            (name, kind)
            for name, kind in _FIELDS.items()
            if kind in (c.c_int, c.c_int32, c.c_int64, c.c_double)
        ]
    ).flatmap(lambda field: st.tuples(st.just(field[0]), _value(field[1]))),
    max_size=2,
).map(dict)


class _CCalls:
    inputs = described(
        width=_USUAL_SIZES | _SIZES,
        height=_USUAL_SIZES | _SIZES,
        row_bytes=st.sampled_from([0, 0, 3 * _SIDE, 1, 100]),
        question=st.just(_QUESTIONS[0]) | st.sampled_from(_QUESTIONS) | st.text(max_size=20),
        changes=_CHANGES,
        layers=st.none() | st.none() | st.lists(st.integers(-1, 5), max_size=3),
        struct_size=st.sampled_from([*[None] * 9, 0, 8, 40, 500]),
        generate=st.sampled_from([0, 1, 2, -1, (1 << 31) - 1]),
        no_pixels=st.sampled_from([*[False] * 9, True]),
    )

    def __init__(self) -> None:
        self._library = library()
        self._model = self._library.open(POCKET, threads=1)
        shape = (_SIDE, _SIDE, 3)
        self._pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def use(self, data: bytes) -> None:
        """Look, compare, ask and attend; every handle is freed."""
        said, free = json.loads(data), self._library.c
        pixels = None if said["no_pixels"] else self._pixels.ctypes.data
        image = Image(pixels, said["width"], said["height"], said["row_bytes"])
        with refusing(), ExitStack() as held:
            view = self._library.create("look", self._model, c.byref(image))
            held.callback(free.carve_view_free, view)
            options = self._options(said)
            change = c.c_double()
            self._library.call("change", view, c.byref(image), c.byref(change))
            assert change.value == 0
            result = self._library.ask(view, said["question"], options)
            held.callback(free.carve_result_free, result)
            self._library.read(result)
            # An input of the corpus may be older than this call.
            generate = said.get("generate", 1)
            attention = self._library.attend(view, said["question"], generate=generate)
            held.callback(free.carve_attention_free, attention)
            self._library.read_attention(attention)

    def _options(self, said: dict[str, Any]) -> AskOptions:
        options = self._library.options(self._model, max_new_tokens=2)
        for name, value in said["changes"].items():
            setattr(options, name, value)
        if said["layers"] is not None:
            layers = said["layers"]
            options.layers = (c.c_int32 * len(layers))(*layers)
            options.layer_count = len(layers)
        if said["struct_size"] is not None:
            options.struct_size = min(said["struct_size"], c.sizeof(AskOptions))
        return options


def prepare(_: Path) -> _CCalls:
    """Return the surface."""
    return _CCalls()
