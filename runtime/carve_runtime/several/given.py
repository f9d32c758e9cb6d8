"""What callers give where one image or several can stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from carve_models.errors import PromptError
from carve_runtime.images.load import ImageInput

#: Several images, each of them an ``ImageInput``.
Images: TypeAlias = "list[Any] | tuple[Any, ...]"

#: Most images of one prompt. The model's context is the nearer limit, as a rule; this one holds
#: before any of them is read.
MOST_IMAGES = 64


def are_several(given: ImageInput | Images) -> bool:
    """Return whether a list of images was given, be it of one."""
    return isinstance(given, (list, tuple))


def each_of(given: ImageInput | Images) -> Sequence[ImageInput]:
    """Return the images that were given as a sequence."""
    return given if isinstance(given, (list, tuple)) else [given]


def count_images(given: ImageInput | Images) -> int:
    """Return how many images were given.

    Raises:
        PromptError: none, or more than :data:`MOST_IMAGES`.
    """
    count = len(each_of(given))
    if count == 0:
        raise PromptError("the list of images is empty", "give at least one image")
    if count > MOST_IMAGES:
        raise PromptError(
            f"{count} images were given, and a prompt holds at most {MOST_IMAGES}",
            "give fewer images",
        )
    return count


def require_one(given: ImageInput | Images, purpose: str) -> None:
    """Raise :class:`PromptError` if several images were given for what takes one."""
    if are_several(given):
        raise PromptError(
            f"{len(each_of(given))} images in a list were given to {purpose}", "give one, no list"
        )
