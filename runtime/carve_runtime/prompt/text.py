"""Prompts to token ids and back, with the bundle's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import Metaspace

from carve_models.errors import BundleError, PromptError
from carve_models.interface import FEATURE
from carve_models.manifest import Prompts
from carve_models.prompts.segment import Segment
from carve_runtime.prompt.answer import Streamer, TokenDecoder

#: A part of a prompt: token ids, (S,) int64, or the index of the image that stands there.
PromptPart: TypeAlias = "NDArray[np.int64] | int"


def _is_failure(error: BaseException) -> bool:
    """Whether tokenizers raised it: a bare ``Exception``, or a panic of Rust, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


@contextmanager
def _refusing(cause: str, *passed: type[Exception]) -> Iterator[None]:
    """Turn what tokenizers raises into :class:`BundleError`, but for the classes that pass."""
    try:
        yield
    except passed:
        raise
    except BaseException as error:
        if not _is_failure(error):
            raise
        raise BundleError(f"{cause}: {error}", "export the checkpoint again") from error


class Text:
    """A tokenizer that takes user text literally. Threads may share it."""

    def __init__(self, tokenizer_file: Path, control_ids: Iterable[int] = ()) -> None:
        """Load ``tokenizer.json``.

        Args:
            tokenizer_file: the file.
            control_ids: ids that are special whatever the file says: image and end of sequence.

        Raises:
            BundleError: the file is not a tokenizer, or its decoder is of an unknown kind.
        """
        with _refusing(f"{tokenizer_file} is not a tokenizer", BundleError):
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            self._prepare(control_ids)

    def _prepare(self, control_ids: Iterable[int]) -> None:
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        control_ids = list(control_ids)
        control = [self._tokenizer.id_to_token(token) for token in control_ids]
        self._tokenizer.add_special_tokens([token for token in control if token is not None])
        # "</s>" in a question is five characters, not the end of the text.
        self._tokenizer.encode_special_tokens = True
        # Text is encoded in parts that follow other tokens: none of them is the first.
        splitter = self._tokenizer.pre_tokenizer
        if isinstance(splitter, Metaspace) and splitter.prepend_scheme == "first":
            splitter.prepend_scheme = "never"
            self._tokenizer.pre_tokenizer = splitter
        added = self._tokenizer.get_added_tokens_decoder()
        self._silent = {index for index, token in added.items() if token.special} | {*control_ids}
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._special = {index for index in self._silent if self._spelling(index) != unknown}
        decoder = self._tokenizer.decoder
        self._bytes = TokenDecoder(json.loads(decoder.__getstate__()) if decoder else None)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the ids of a text in which special tokens are plain characters, (S,) int64.

        Raises:
            PromptError: this vocabulary has no plain spelling for a special token in the text.
            BundleError: the tokenizer fails.
        """
        try:
            with _refusing("the bundle's tokenizer cannot encode the text", TypeError):
                encoding = self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError as error:
            raise PromptError(
                "the question is not valid Unicode text", "pass a str that encodes as UTF-8"
            ) from error
        special = [
            token
            for index, token in zip(encoding.ids, encoding.tokens, strict=True)
            if index in self._special
        ]
        if special:
            raise PromptError(
                f"the text contains {special[0]!r}, which this tokenizer can only read as control",
                "rephrase the question without it",
            )
        return np.asarray(encoding.ids, np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of an answer: special tokens dropped, outer white space stripped."""
        parts: list[str] = []
        streamer = self.streamer(parts.append)
        for token in ids:
            streamer.push(token)
        streamer.end()
        return "".join(parts)

    def streamer(self, on_text: Callable[[str], None]) -> Streamer:
        """Return what passes on an answer's text as it completes; joined it is :meth:`decode`'s."""
        return Streamer(self._token_bytes, on_text)

    def words(self, ids: Iterable[int]) -> list[str]:
        """Return each token's own text, special ones as they are spelled.

        It is "" for :data:`FEATURE`, and has U+FFFD where a token is a part of a character.
        """
        return [self._word(token) for token in ids]

    def _word(self, token: int) -> str:
        if token == FEATURE:
            return ""
        spelled = self._spelling(token) if token in self._special else None
        return spelled or self._token_bytes(token).decode(errors="replace")

    def _token_bytes(self, token: int) -> bytes:
        with _refusing("the bundle's tokenizer cannot decode the answer"):
            spelling = None if token in self._silent else self._spelling(token)
        return b"" if spelling is None else self._bytes(spelling)

    def _spelling(self, token: int) -> str | None:
        spelling: str | None = self._tokenizer.id_to_token(token)
        return spelling


def prompt_parts(
    segments: Sequence[Segment], text: str, encode: Callable[[str], NDArray[np.int64]]
) -> list[PromptPart]:
    """Return a prompt as token ids and images.

    Args:
        segments: of the manifest's prompts.
        text: what takes the place of ``{text}``.
        encode: text to ids, (S,) int64, see :meth:`Text.encode`.
    """
    parts: list[PromptPart] = []
    for segment in segments:
        if segment.image is not None:
            parts.append(segment.image)
        elif segment.ids is not None:
            parts.append(np.asarray(segment.ids, np.int64))
        elif segment.text is not None:
            parts.append(encode(segment.text.replace("{text}", text)))
    return parts


def question_text(question: str, prompts: Prompts) -> str:
    """Return what every pass sends: the question, a space and the bundle's suffix, if it has one.

    Raises:
        PromptError: the question is empty or no text.
    """
    if not isinstance(question, str):
        raise PromptError(f"the question is {type(question).__name__!r}", "pass a str")
    if not question.strip():
        raise PromptError("the question is empty", "ask something about the image")
    return f"{question} {prompts.suffix}" if prompts.suffix else question
