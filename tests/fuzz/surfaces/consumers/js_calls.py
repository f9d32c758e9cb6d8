"""The JavaScript library's public calls with arguments that are each right or wrong."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from hypothesis import strategies as st

from carve_models.settings import Settings
from tests.fuzz.mutations import ODD, described
from tests.fuzz.node import Node
from tests.support import POCKET
from tools.checks.settings_table.javascript import camel

_JSON_ODD = [value for value in ODD if json.dumps(value) not in ("NaN", "Infinity")]
#: JavaScript reads these as values that JSON has not, see ``library.mjs``.
_ODD = [*_JSON_ODD, "@nan", "@inf", "@undefined", "@big"]
_WORDS = ["first", "all", "last", "size", "paper", "on", "off", "pair", "refined", "released"]
_NAMES = [*(camel(field.name) for field in fields(Settings)), "noSuchSetting", "__proto__"]
_VALUES = st.sampled_from(_WORDS) | st.sampled_from(_ODD) | st.floats(0, 1) | st.integers(0, 4)
_SIDE = st.sampled_from([40, 30, 2, 1, 0, -1, 0.5, 1 << 31, "40", None, "@nan"])
_RGB, _RGBA = 40 * 30 * 3, 40 * 30 * 4
_IMAGE = st.none() | st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["bytes", "bytes", "clamped", "floats", "list", "none"]),
        "length": st.sampled_from([_RGB, _RGB, _RGBA, 0, 1, 12]),
        "width": st.just(40) | _SIDE,
        "height": st.just(30) | _SIDE,
    }
)


class _JsCalls:
    inputs = described(
        use=st.just("call"),
        method=st.sampled_from(["ask", "plain", "open", "attend"]),
        image=st.just({"kind": "bytes", "length": _RGB, "width": 40, "height": 30}) | _IMAGE,
        question=st.just("What is it?") | st.text(max_size=20) | st.sampled_from(_ODD),
        changes=st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=3)
        | st.sampled_from(_ODD)
        | st.fixed_dictionaries({"generate": st.integers(0, 2) | st.sampled_from(_ODD)}),
    )

    def __init__(self) -> None:
        self._node = Node("library.mjs", str(POCKET))

    def use(self, data: bytes) -> None:
        """Call one method."""
        self._node.use(json.loads(data))


def prepare(_: Path) -> _JsCalls:
    """Return the surface."""
    return _JsCalls()
