"""The table of answers, ``answers.yaml``, for tokenizers of two kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, decoders, models
from transformers.convert_slow_tokenizer import bytes_to_unicode

_TABLE: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
_UNKNOWN = 100_000
_SPACE_SIGN = "▁"
_SPECIAL = "</s>"


@dataclass(frozen=True)
class Answer:
    """A row of the table for one tokenizer.

    Attributes:
        name: of the row.
        ids: of the answer.
        pieces: text that each id completes, and what is left at the end.
        exact: the pieces are those of this list, not just together the same text.
    """

    name: str
    ids: list[int]
    pieces: list[str]
    exact: bool = True


def write_answers(folder: Path) -> dict[Path, list[Answer]]:
    """Write a tokenizer.json for each kind; return the table for each."""
    fallback: dict[int | str, str] = {byte: f"<0x{byte:02X}>" for byte in range(256)}
    joined = [decoders.Replace(_SPACE_SIGN, " "), decoders.ByteFallback(), decoders.Fuse()]
    falls_back = decoders.Sequence([*joined, decoders.Strip(" ", 1, 0)])
    return dict(
        [
            _written(folder / "fallback.json", fallback | {" ": _SPACE_SIGN}, falls_back),
            _written(folder / "bytes.json", bytes_to_unicode() | {" ": "Ġ"}, decoders.ByteLevel()),
        ]
    )


def _written(
    path: Path, spelling: Mapping[int | str, str], decoder: Any
) -> tuple[Path, list[Answer]]:
    tokens = dict.fromkeys([*spelling.values(), "a", "b"])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens([_SPECIAL])
    tokenizer.save(str(path))

    def number(token: int | str | None) -> int:
        if token is None:
            return _UNKNOWN
        index = tokenizer.token_to_id(spelling.get(token, str(token)))
        assert index is not None, token
        return index

    rows = [Answer(row["name"], [*map(number, row["tokens"])], row["pieces"]) for row in _TABLE]
    return path, rows
