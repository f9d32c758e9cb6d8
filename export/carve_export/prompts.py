"""Resolve a family's prompt layouts to token ids, and prove them against the tokenizer."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from carve_export.checkpoint import Checkpoint
from carve_models.errors import CheckpointError, SettingsError
from carve_models.family import PromptLayout
from carve_models.manifest import Prompts, Segment
from carve_runtime.text import Text

_IMAGE = "<image>"
_TEXT = "{text}"

#: Texts whose ids must come out as the checkpoint's tokenizer gives them.
_PROBES = (
    "What letter is on the red square?",
    "Is there a dog? Answer yes or no.",
    " leading space, trailing space ",
    "naïve café 東京 🙂",
    "x",
)


def resolve_prompts(checkpoint: Checkpoint, text: Text, layout: PromptLayout) -> Prompts:
    """Return the prompts as segments.

    Args:
        checkpoint: the checkpoint with its tokenizer.
        text: the runtime's tokenizer, made from the same ``tokenizer.json``.
        layout: the prompts as text.

    Raises:
        SettingsError: a layout without question, or with other images than it should have.
        CheckpointError: its stretches, encoded one by one, differ from the whole prompt encoded
            by the checkpoint's tokenizer.
    """
    try:
        prompts = Prompts(
            single=_segments(checkpoint.tokenizer, text, layout.single),
            pair=_segments(checkpoint.tokenizer, text, layout.pair),
            suffix=layout.suffix,
            general=layout.general,
        )
    except ValueError as error:
        raise SettingsError(
            f"the prompt layouts do not fit: {error}", "see docs/method.md for an example"
        ) from error
    for layout_text, segments in ((layout.single, prompts.single), (layout.pair, prompts.pair)):
        for probe in (*_PROBES, layout.general):
            _prove(checkpoint, text, layout_text, segments, probe)
    return prompts


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


def _segments(tokenizer: Any, text: Text, layout: str) -> tuple[Segment, ...]:
    """Split a layout at images and special tokens; only stretches with the question stay text."""
    special = {
        token.content: index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content != _IMAGE
    }
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
        elif part in special:
            literal.append(special[part])
        elif _TEXT in part:
            flush()
            segments.append(Segment(text=part))
        elif part:
            literal.extend(text.encode(part).tolist())
    flush()
    return tuple(segments)


def _prove(
    checkpoint: Checkpoint, text: Text, layout: str, segments: tuple[Segment, ...], probe: str
) -> None:
    image_token = getattr(checkpoint.config, checkpoint.family.image_token)
    found: list[int] = []
    for piece in text.pieces(segments, probe):
        found.extend([image_token] if isinstance(piece, int) else piece.tolist())
    spelled = checkpoint.tokenizer.convert_ids_to_tokens(image_token)
    whole = layout.replace(_IMAGE, spelled).replace(_TEXT, probe)
    wanted = checkpoint.tokenizer(whole).input_ids
    if found != wanted:
        raise CheckpointError(
            f"the tokenizer encodes the prompt {whole!r} as {wanted}, its stretches as {found}",
            "choose a prompt layout whose boundaries the tokenizer respects",
        )
