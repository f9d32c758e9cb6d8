"""Parts of Markdown pages that are generated, each between two marks."""

from __future__ import annotations


def fill(page: str, begin: str, end: str, content: str) -> str:
    """Return a page with what stands between two marks replaced.

    Args:
        page: its text.
        begin: the line before the part.
        end: the line behind it.
        content: the new part.

    Raises:
        ValueError: the page does not have each mark once, the first before the second.
    """
    head, *rest = page.split(f"{begin}\n")
    if len(rest) != 1 or rest[0].count(end) != 1:
        raise ValueError(f"expected one part between {begin!r} and {end!r}")
    _, tail = rest[0].split(end)
    return f"{head}{begin}\n{content.strip()}\n{end}{tail}"
