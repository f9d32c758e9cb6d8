"""Settings by a grammar: each name with values that it allows, and with others."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from hypothesis import strategies as st

from carve_models.settings import (
    Contrast,
    FinalPrompt,
    Geometry,
    MapMethod,
    ResizeRefined,
    Rule,
    Settings,
    Steps,
    Strategy,
    Variant,
)
from carve_runtime import Carve
from tests.fuzz.files import tiny_picture
from tests.fuzz.mutations import ODD

_SHARES = st.floats(0, 1) | st.just("auto")
_PIXELS = st.integers(1, 1 << 20) | st.sampled_from([1, 1 << 28, (1 << 28) + 1])
#: What the settings that are not chosen from words are mostly given.
_USUAL: dict[str, Any] = {
    "layers": st.lists(st.integers(0, 5), max_size=4),
    "mask_top_p": _SHARES,
    "max_regions": st.integers(1, 5),
    "outlier_percent": st.floats(0, 100),
    "general_instructions": st.lists(st.text(max_size=9), max_size=3),
    "regularizer": _SHARES | st.floats(0),
    "max_new_tokens": st.integers(1, 3) | st.sampled_from([500, 5000]),
    "max_refined_pixels": _PIXELS,
    "scout_pixels": _PIXELS,
    "final_pixels": _PIXELS,
    "early_exit": st.booleans(),
    "adaptive": st.booleans(),
    "sure_probability": st.floats(0, 1),
    "focused_entropy": st.floats(0, 9),
}
_WORDS = {
    "steps": Steps,
    "strategy": Strategy,
    "rule": Rule,
    "method": MapMethod,
    "contrast": Contrast,
    "geometry": Geometry,
    "final_prompt": FinalPrompt,
    "resize_refined": ResizeRefined,
    "variant": Variant,
}
_NAMES = [*(field.name for field in fields(Settings)), "variant", "no_such_setting"]


def _values(name: str) -> Any:
    usual = st.sampled_from(get_args(_WORDS[name])) if name in _WORDS else _USUAL.get(name)
    odd = st.sampled_from(ODD)
    return odd if usual is None else usual | usual | odd


class _Settings:
    inputs = st.lists(
        st.sampled_from(_NAMES).flatmap(lambda name: st.tuples(st.just(name), _values(name))),
        max_size=5,
    ).map(lambda pairs: json.dumps(dict(pairs)).encode())

    def __init__(self) -> None:
        self._vlm = Carve.load(verify=False, threads=1)
        self._picture = tiny_picture()

    def use(self, data: bytes) -> None:
        """Ask with the settings, and with few tokens unless they say otherwise."""
        changes: dict[str, Any] = {"max_new_tokens": 2} | json.loads(data)
        self._vlm.ask(self._picture, "What is it?", **changes)


def prepare(_: Path) -> _Settings:
    """Return the surface."""
    return _Settings()
