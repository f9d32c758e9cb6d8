"""A tokenizer that fails in Rust: a typed error, also of what is no ``Exception`` at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from carve_runtime import BundleError
from carve_runtime.prompt.text import Text
from tests.support import POCKET

ONE_WORD = {"type": "WordPiece", "unk_token": "x", "vocab": {"a": 0}}
WORDS = {"continuing_subword_prefix": "#", "max_input_chars_per_word": 100}

#: What replaces parts of a tokenizer, and whether that is seen when it is loaded.
BROKEN: dict[str, tuple[dict[str, Any], bool]] = {
    "characters": ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, True),
    "expression": (
        {"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}},
        True,
    ),
    "nothing replaced": (
        {"normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "x"}},
        False,
    ),
    "chunks of 0": ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, False),
    "unknown word": ({"model": ONE_WORD | WORDS}, False),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tokenizer(name: str, tmp_path: Path) -> None:
    changes, at_once = BROKEN[name]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads((POCKET / "tokenizer.json").read_text()) | changes))
    if at_once:
        with pytest.raises(BundleError, match=r"json is not a tokenizer: .*\. Export the check"):
            Text(path)
        return
    text = Text(path)
    with pytest.raises(BundleError, match=r"tokenizer cannot encode the text: .*\. Export"):
        text.encode("What letter?")


@pytest.mark.parametrize("token", [1 << 32, -1])
def test_ids_of_33_bits(token: int) -> None:
    with pytest.raises(BundleError, match=r"is not a tokenizer: .*\. Export"):
        Text(POCKET / "tokenizer.json", [token])
    with pytest.raises(BundleError, match=r"cannot decode the answer: .*\. Export"):
        Text(POCKET / "tokenizer.json").decode([token])
