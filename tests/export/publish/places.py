"""What lies around a bundle."""

from __future__ import annotations

from pathlib import Path

NOBODY = 65534  # a user whom permissions bind


def alone(target: Path) -> bool:
    """Return whether nothing lies beside a bundle."""
    return list(target.parent.iterdir()) == [target]
