"""What numpy and Pillow raise where memory ends, as an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from carve_models.errors import RunError


@contextmanager
def refusing_memory_errors(
    remedy: str = "give a smaller image, lower max_refined_pixels, or free memory",
) -> Iterator[None]:
    """Turn a ``MemoryError`` into :class:`RunError`; what was kept before stays usable."""
    try:
        yield
    except MemoryError as error:
        raise RunError(
            f"the memory does not suffice: {str(error) or 'no size is given'}", remedy
        ) from error
