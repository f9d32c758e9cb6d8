"""The text of an answer: ids are tokens, tokens are bytes, bytes are UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from carve_models.errors import BundleError

#: A part of tokenizer.json.
_Part: TypeAlias = Mapping[str, Any]
_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


class TokenDecoder:
    """The decoder of a ``tokenizer.json``, for one token at a time."""

    def __init__(self, decoder: _Part | None) -> None:
        """Read it.

        Args:
            decoder: of the file.

        Raises:
            BundleError: it does more than this class can do with tokens one by one.
        """
        self._replaced: list[tuple[str, str]] = []
        self._encode: Callable[[str], bytes] = str.encode
        self._joined = False
        readers: dict[str, Callable[[_Part], None]] = {
            "Replace": self._read_replace,
            "Metaspace": self._read_metaspace,
            "ByteFallback": self._read_byte_fallback,
            "ByteLevel": self._read_byte_level,
            "Fuse": self._read_fuse,
            "Strip": self._read_strip,
        }
        if decoder is None:
            raise _refusal("is missing")
        for part in _parts(decoder):
            if part["type"] not in readers:
                raise _refusal(f"has {part['type']}, which this version does not know")
            readers[part["type"]](part)

    def __call__(self, token: str) -> bytes:
        """Return a token's bytes."""
        for old, new in self._replaced:
            token = token.replace(old, new)
        return self._encode(token)

    def _read_replace(self, part: _Part) -> None:
        self._require_apart(part)
        old = part["pattern"].get("String")
        if not old:
            raise _refusal("replaces what is not a plain text")
        self._replaced.append((old, part["content"]))

    def _read_metaspace(self, part: _Part) -> None:
        self._require_apart(part)
        self._replaced.append((part["replacement"], " "))

    def _read_byte_fallback(self, part: _Part) -> None:
        self._require_apart(part)
        self._joined, self._encode = True, _fallback

    def _read_byte_level(self, part: _Part) -> None:
        self._require_apart(part)
        self._joined, self._encode = True, _spelled

    def _read_fuse(self, _: _Part) -> None:
        self._joined = True

    def _read_strip(self, part: _Part) -> None:
        """Answers are stripped of white space anyway."""
        if not self._joined or part["content"].strip():
            raise _refusal("strips other things than white space around the answer")

    def _require_apart(self, part: _Part) -> None:
        if self._joined:
            raise _refusal(f"has {part['type']} behind what joins the tokens")


class Streamer:
    """Takes the ids of an answer one by one and passes its text on.

    The pieces joined are the answer: UTF-8 with one U+FFFD for what is none (Unicode 3.9, "maximal
    subparts") and for U+0000, which would end it in C, without white space around it. What is not
    complete waits: the first bytes of a character, and white space that may be the end.
    """

    def __init__(self, to_bytes: Callable[[int], bytes], on_text: Callable[[str], None]) -> None:
        """Begin an answer.

        Args:
            to_bytes: of an id.
            on_text: receives pieces of text that are not empty.
        """
        self._to_bytes, self._on_text = to_bytes, on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._white_space = ""
        self._begun = False

    def push(self, token: int) -> None:
        """Take an id."""
        self._take(self._decoder.decode(self._to_bytes(token)))

    def end(self) -> None:
        """Pass on what remains: U+FFFD for a character that is not complete."""
        self._take(self._decoder.decode(b"", final=True))

    def _take(self, text: str) -> None:
        text = self._white_space + text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if not self._begun:
            text = text.lstrip()
        complete = text.rstrip()
        self._white_space = text[len(complete) :]
        if complete:
            self._begun = True
            self._on_text(complete)


def _parts(decoder: _Part) -> Iterator[_Part]:
    if decoder["type"] == "Sequence":
        for part in decoder["decoders"]:
            yield from _parts(part)
    else:
        yield decoder


def _fallback(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.encode()


def _alphabet() -> dict[str, int]:
    """Return the byte of each character that byte-level tokenizers write, as GPT-2 does."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in printable]
    spelled = {chr(byte): byte for byte in printable}
    return spelled | {chr(0x100 + index): byte for index, byte in enumerate(hidden)}


_ALPHABET = _alphabet()


def _spelled(token: str) -> bytes:
    """Return the bytes that a token spells; one with other characters stands for itself."""
    try:
        return bytes(_ALPHABET[character] for character in token)
    except KeyError:
        return token.encode()


def _refusal(cause: str) -> BundleError:
    return BundleError(
        f"the decoder of tokenizer.json {cause}",
        "use a checkpoint whose tokenizer is byte-level or falls back to bytes",
    )
