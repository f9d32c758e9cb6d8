"""Whether a prompt and its answer fit into the model's context.

The check runs three times, each as early as it can: before any graph runs, with the fewest tokens
that images can have; once the size of the image is known; once that of the refined image is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carve_models.errors import PromptError
from carve_runtime.prompt.text import PromptPart


@dataclass(frozen=True)
class ContextBudget:
    """Positions that a question needs behind an image.

    Attributes:
        reserve: those that its passes are expected to need; buffers get longer if they need more.
        prompt: what its longest prompt takes in any case; 0 if no question is known yet.
        new_tokens: most forward steps behind that prompt.
    """

    reserve: int
    prompt: int = 0
    new_tokens: int = 1


def prompt_length(parts: Sequence[PromptPart], image_tokens: int) -> int:
    """Return the positions of a prompt whose images take ``image_tokens`` each."""
    return sum(image_tokens if isinstance(part, int) else len(part) for part in parts)


def fits_context(prompt: int, new_tokens: int, context_length: int) -> bool:
    """Return whether a prompt and its answer fit; arguments as for :func:`require_context`."""
    return _needed(prompt, new_tokens) <= context_length


def _needed(prompt: int, new_tokens: int) -> int:
    return prompt + new_tokens - 1


def require_context(prompt: int, new_tokens: int, context_length: int, images: int = 1) -> None:
    """Check that a prompt and its answer fit.

    Args:
        prompt: positions of the prompt.
        new_tokens: most forward steps; the last one writes nothing into the cache.
        context_length: most positions that the model was made for.
        images: those that the caller gave; a refined one is none of them.

    Raises:
        PromptError: they may need more.
    """
    if not fits_context(prompt, new_tokens, context_length):
        about, refined, fewer = "", "image", ""
        if images > 1:
            about, refined, fewer = f" about {images} images", "images", "give fewer images, "
        raise PromptError(
            f"the prompt of {prompt} tokens{about} and {new_tokens} new ones need "
            f"{_needed(prompt, new_tokens)} positions, the model has {context_length}",
            f"{fewer}shorten the question, lower max_new_tokens (attend's generate), or ask about "
            f"the refined {refined} alone",
        )


def require_images_fit(prefix: int, context_length: int, images: int = 1) -> None:
    """Raise :class:`PromptError` if images and the text before them exceed the context alone."""
    if prefix > context_length:
        what, smaller = "the image and what stands before it", "give a smaller image"
        if images > 1:
            what = f"the {images} images and what stands before them"
            smaller = "give fewer or smaller images"
        raise PromptError(
            f"{what} take {prefix} positions, the model has {context_length}",
            f"{smaller}, or use a model with a longer context",
        )
