"""Prompts to token ids and back, with the bundle's tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from tokenizers.pre_tokenizers import Metaspace

from carve_models.errors import BundleError, PromptError
from carve_models.manifest import Prompts, Segment

#: A stretch of a prompt: token ids, (S,) int64, or the index of an image.
Piece: TypeAlias = "NDArray[np.int64] | int"


class Text:
    """A tokenizer that takes user text literally. Threads may share it."""

    def __init__(self, tokenizer_file: Path) -> None:
        """Load ``tokenizer.json``.

        Raises:
            BundleError: the file is not a tokenizer.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # tokenizers raises bare Exception
            raise BundleError(
                f"{tokenizer_file} is not a tokenizer: {error}", "export the checkpoint again"
            ) from error
        # "</s>" in a question is five characters, not the end of the text.
        self._tokenizer.encode_special_tokens = True
        # Text is encoded in stretches that follow other tokens: none of them is the first.
        splitter = self._tokenizer.pre_tokenizer
        if isinstance(splitter, Metaspace) and splitter.prepend_scheme == "first":
            splitter.prepend_scheme = "never"
            self._tokenizer.pre_tokenizer = splitter
        added = self._tokenizer.get_added_tokens_decoder()
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._special = {
            index for index, token in added.items() if token.special and token.content != unknown
        }

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the ids of a text in which special tokens are plain characters, (S,) int64.

        Raises:
            PromptError: this vocabulary has no plain spelling for a special token in the text.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
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

    def pieces(self, segments: Sequence[Segment], text: str) -> list[Piece]:
        """Return a prompt as token ids and images, with ``text`` in the place of ``{text}``."""
        pieces: list[Piece] = []
        for segment in segments:
            if segment.image is not None:
                pieces.append(segment.image)
            elif segment.ids is not None:
                pieces.append(np.asarray(segment.ids, np.int64))
            elif segment.text is not None:
                pieces.append(self.encode(segment.text.replace("{text}", text)))
        return pieces

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of an answer: special tokens dropped, outer white space stripped."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()

    def streamer(self, on_text: Callable[[str], None]) -> Callable[[int], None]:
        """Return a function that takes ids one by one and passes on text as it completes."""
        stream = DecodeStream(skip_special_tokens=True)

        def step(token: int) -> None:
            text = stream.step(self._tokenizer, token)
            if text:
                on_text(text)

        return step


def question_text(question: str, prompts: Prompts) -> str:
    """Return what every pass sends: the question and the bundle's suffix.

    Raises:
        PromptError: the question is empty.
    """
    if not question.strip():
        raise PromptError("the question is empty", "ask something about the image")
    return f"{question} {prompts.suffix}" if prompts.suffix else question


def shared_prefix(prompts: Prompts) -> tuple[Segment, ...]:
    """Return the literal segments that all prompts start with, through the first image.

    What they put into the cache depends on the image alone, so all passes can build on it.

    Raises:
        BundleError: the prompts do not start alike, through an image.
    """
    prefix: list[Segment] = []
    for single, pair in zip(prompts.single, prompts.pair, strict=False):
        if single != pair or single.text is not None:
            break
        prefix.append(single)
        if single.image is not None:
            return tuple(prefix)
    raise BundleError(
        "the prompts of this bundle do not start with the image", "export the checkpoint again"
    )
