"""Resolve a family's prompt layouts to token ids, and check them against the tokenizer."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from carve_export.checkpoint.load import Checkpoint, metadata
from carve_export.checkpoint.render_chat import render_chats
from carve_models.errors import CheckpointError, SettingsError
from carve_models.families.family import PromptLayout
from carve_models.manifest import Prompts
from carve_models.prompts.segment import Segment
from carve_runtime.prompt.text import Text, prompt_parts

_IMAGE = "<image>"
#: Where a clip stands in the layout of its prompt.
VIDEO = "<video>"
_TEXT = "{text}"
#: Numbers of images that prompts have.
_IMAGES = 1, 2

#: Texts whose ids must come out as the checkpoint's tokenizer gives them.
_PROBES = (
    "What letter is on the red square?",
    "Is there a dog? Answer yes or no.",
    " leading space, trailing space ",
    "naïve café 東京 🙂",
    "x",
)


def resolve_prompts(checkpoint: Checkpoint, text: Text, layout: PromptLayout) -> Prompts:
    """Return the prompts as segments; a layout that is ``None`` comes from the chat template.

    Args:
        checkpoint: the checkpoint with its tokenizer.
        text: the runtime's tokenizer, made from the same ``tokenizer.json``.
        layout: the prompts as text.

    Raises:
        SettingsError: a layout without a question, or with the wrong images.
        CheckpointError: there is no usable chat template where one is needed; or a layout's parts,
            encoded one by one, differ from the whole prompt encoded by the checkpoint's tokenizer.
    """
    single, pair = layout.single, layout.pair
    if not (single and pair):
        of_one, of_two = _chat_layouts(checkpoint)
        single, pair = single or of_one, pair or of_two
    with metadata("the tokenizer"):
        segments_of = [_segments(checkpoint.tokenizer, text, each) for each in (single, pair)]
    try:
        prompts = Prompts(
            single=segments_of[0],
            pair=segments_of[1],
            suffix=layout.suffix,
            general=layout.general,
        )
    except ValueError as error:
        raise SettingsError(
            f"the prompt layouts do not fit: {error}", "see docs/method.md for an example"
        ) from error
    for layout_text, segments in ((single, prompts.single), (pair, prompts.pair)):
        for probe in (*_PROBES, layout.general):
            _require_same_ids(checkpoint, text, layout_text, segments, probe)
    return prompts


def _chat_layouts(checkpoint: Checkpoint) -> list[str]:
    """Return the checkpoint's chat template, filled with one image and with two, and ``{text}``."""
    if not checkpoint.tokenizer.chat_template:
        raise CheckpointError(
            "the checkpoint has no chat template",
            'add chat_template.jinja, or give the prompts "single" and "pair" with --settings',
        )
    question = {"type": "text", "text": _TEXT}
    contents = [[*[{"type": "image"}] * count, question] for count in _IMAGES]
    texts = _rendered(checkpoint, contents)
    return [text.replace(checkpoint.image_token, _IMAGE) for text in texts]


def _rendered(checkpoint: Checkpoint, contents: list[list[dict[str, str]]]) -> list[str]:
    """Return the chat template, filled with each of these messages of a user."""
    with metadata("the chat template"):
        template = checkpoint.tokenizer.get_chat_template()
        special = dict(checkpoint.tokenizer.special_tokens_map)
    chats = [[{"role": "user", "content": content}] for content in contents]
    return render_chats(template, chats, special)


def video_layout(checkpoint: Checkpoint, token: str) -> str | None:
    """Return the chat template, filled with a clip as ``<video>`` and ``{text}``.

    Args:
        checkpoint: the checkpoint with its tokenizer.
        token: what the template puts for a clip.

    Returns:
        ``None`` if it does not name clips, or refuses them.
    """
    if not checkpoint.tokenizer.chat_template:
        return None
    try:
        (text,) = _rendered(checkpoint, [[{"type": "video"}, {"type": "text", "text": _TEXT}]])
    except CheckpointError:  # templates may raise for kinds that they do not know
        return None
    return text.replace(token, VIDEO) if text.count(token) == 1 and _TEXT in text else None


def change_layout(layout: PromptLayout, changes: dict[str, str]) -> PromptLayout:
    """Return a layout with some of its texts replaced.

    Raises:
        SettingsError: an unknown field.
    """
    unknown = sorted(set(changes) - set(vars(layout)))
    if unknown:
        raise SettingsError(
            f"there is no prompt named {unknown[0]!r}", f"choose from {', '.join(vars(layout))}"
        )
    return replace(layout, **changes)


def literal_ids(tokenizer: Any, text: Text, literal: str) -> tuple[int, ...]:
    """Return the ids of a text whose special tokens are meant as such."""
    special = _special_ids(tokenizer)
    boundary = "|".join(map(re.escape, sorted(special, key=len, reverse=True)))
    ids: list[int] = []
    for part in re.split(f"({boundary})", literal):
        if part in special:
            ids.append(special[part])
        elif part:
            ids.extend(text.encode(part).tolist())
    return tuple(ids)


def _special_ids(tokenizer: Any) -> dict[str, int]:
    return {
        token.content: index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content != _IMAGE
    }


def _segments(tokenizer: Any, text: Text, layout: str) -> tuple[Segment, ...]:
    """Split a layout at images and special tokens; only parts with the question stay text."""
    special = _special_ids(tokenizer)
    boundary = "|".join(map(re.escape, [_IMAGE, *sorted(special, key=len, reverse=True)]))
    segments: list[Segment] = []
    literal = list(tokenizer("").input_ids)
    images = 0

    def flush() -> None:
        if literal:
            segments.append(Segment(ids=tuple(literal)))
            literal.clear()

    for part in re.split(f"({boundary})", layout):
        if part == _IMAGE:
            flush()
            segments.append(Segment(image=images))
            images += 1
        elif _TEXT in part:
            flush()
            segments.append(Segment(text=part))
        elif part:
            literal.extend(literal_ids(tokenizer, text, part))
    flush()
    return tuple(segments)


def text_segments(tokenizer: Any, layout: str, image: str = _IMAGE) -> tuple[Segment, ...]:
    """Split a layout at image 0 and special tokens; all between them stays text.

    What is put together of several layouts can so be encoded where its parts meet.
    """
    special = _special_ids(tokenizer)
    boundary = "|".join(map(re.escape, [image, *sorted(special, key=len, reverse=True)]))
    segments: list[Segment] = []
    for part in filter(None, re.split(f"({boundary})", layout)):
        if part == image:
            segments.append(Segment(image=0))
        elif part in special:
            segments.append(Segment(ids=(special[part],)))
        else:
            segments.append(Segment(text=part))
    return tuple(segments)


def _require_same_ids(
    checkpoint: Checkpoint, text: Text, layout: str, segments: tuple[Segment, ...], probe: str
) -> None:
    actual: list[int] = []
    for part in prompt_parts(segments, probe, text.encode):
        actual.extend([checkpoint.image_token_id] if isinstance(part, int) else part.tolist())
    whole = layout.replace(_IMAGE, checkpoint.image_token).replace(_TEXT, probe)
    with metadata("the tokenizer"):
        expected = checkpoint.tokenizer(whole).input_ids
    if actual != expected:
        raise CheckpointError(
            f"the tokenizer encodes the prompt {whole!r} as {expected}, its parts as {actual}",
            "choose a prompt layout whose boundaries the tokenizer respects",
        )
