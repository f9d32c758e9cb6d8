"""Encode fixed questions beforehand, for programs that cannot run a bundle's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from carve_models.manifest import Manifest
from carve_models.names import TOKENIZER_FILE
from carve_models.replacing import write_json
from carve_runtime.bundle import open_bundle, sha256
from carve_runtime.prompt.text import Text, question_text

SCHEMA_VERSION = 1


class EncodedText(msgspec.Struct):
    """A text of a prompt, with the question in its place, and its token ids."""

    text: str
    ids: list[int]


class EncodedQuestions(msgspec.Struct):
    """The file: every text that the questions and the general instruction need."""

    schema_version: int
    tokenizer_sha256: str
    texts: list[EncodedText]


def encode_questions(folder: Path, questions: Sequence[str]) -> EncodedQuestions:
    """Return the token ids of all that is sent when the questions are asked.

    Args:
        folder: a bundle.
        questions: without the bundle's suffix, which is added.

    Raises:
        BundleError: the bundle cannot be used.
        PromptError: an empty question, or one with control tokens.
    """
    bundle = open_bundle(folder)
    manifest, tokenizer = bundle.manifest, bundle.path(TOKENIZER_FILE)
    encoder = Text(tokenizer, manifest.decoder.control_ids)
    texts = {
        text: encoder.encode(text).tolist()
        for question in [manifest.prompts.general, *questions]
        for text in _texts(manifest, question)
    }
    return EncodedQuestions(
        schema_version=SCHEMA_VERSION,
        tokenizer_sha256=sha256(tokenizer),
        texts=[EncodedText(text, ids) for text, ids in texts.items()],
    )


def write_questions(folder: Path, questions: Sequence[str], out: Path) -> int:
    """Write :func:`encode_questions` as JSON, complete or not at all; return how many texts."""
    encoded = encode_questions(folder, questions)
    write_json(out, encoded, indent=1)
    return len(encoded.texts)


def _texts(manifest: Manifest, question: str) -> list[str]:
    """Return the text segments of both prompts with the question in its place."""
    whole = question_text(question, manifest.prompts)
    segments = (*manifest.prompts.single, *manifest.prompts.pair)
    return [segment.text.replace("{text}", whole) for segment in segments if segment.text]
