"""Texts that take a tokenizer apart."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import yaml

_MADE_OF = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
#: Text in other scripts than the repository's own.
SCRIPTS: list[str] = _MADE_OF["scripts"]
#: Bytes that are no text.
INVALID: list[bytes] = [bytes.fromhex(data) for data in _MADE_OF["invalid"]]


def mixed_texts(count: int) -> list[str]:
    """Return texts of many scripts, spaces, emoji and parts of words; the same each time."""
    random = np.random.default_rng(15)
    # What Unicode added since, libraries know or not: tokenizers, PCRE2, utf8proc and Node differ.
    known = [
        chr(code)
        for code in range(0x80, 0x30000)
        if unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Co", "Cs")
    ]
    parts = [part for line in _MADE_OF["parts"] for part in line]
    parts += [data.decode(*how) for data in INVALID for how in (("latin-1",), ("utf-8", "replace"))]
    texts = ["", " ", *parts]
    while len(texts) < count:
        chosen = random.choice(parts, random.integers(1, 12)).tolist()
        chosen += [known[index] for index in random.integers(0, len(known), random.integers(0, 6))]
        random.shuffle(chosen)
        texts.append("".join(chosen))
    return texts
