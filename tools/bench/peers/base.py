"""What is asked of every peer."""

from __future__ import annotations

from typing import Protocol

#: Positions of the cached prefix, of the suffix over it, and of the whole prompt.
PREFIX, SUFFIX, PREFILL = 576, 20, 600


class Peer(Protocol):
    """A runtime with a decoder loaded, a prefix of ``PREFIX`` positions in its cache."""

    def prefill(self) -> None:
        """Run ``PREFILL`` positions over an empty cache."""

    def suffix(self) -> None:
        """Run ``SUFFIX`` positions over the prefix; the prefix is there again afterwards."""

    def decode(self) -> None:
        """Run one position over the prefix; the prefix is there again afterwards."""
