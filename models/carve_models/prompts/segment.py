"""One part of a prompt."""

from __future__ import annotations

from dataclasses import dataclass

from carve_models.image_rules import Index


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One part of a prompt, exactly one of the three.

    Attributes:
        ids: literal token ids.
        image: index of the image whose features stand here.
        text: text with ``{text}`` in it, encoded at run time without special tokens.
    """

    ids: tuple[Index, ...] | None = None
    image: Index | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.ids, self.image, self.text)) != 1:
            raise ValueError("a prompt segment has exactly one of ids, image and text")
