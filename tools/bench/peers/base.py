"""What is asked of every peer."""

from __future__ import annotations

from typing import Protocol

#: Positions of the cached prefix, of the suffix over it, and of the whole prompt.
PREFIX, SUFFIX, PREFILL = 576, 20, 600


class Peer(Protocol):
    """A runtime with a decoder loaded, and a prefix of ``PREFIX`` positions in its cache."""

    def prefill(self) -> object:
        """Run ``PREFILL`` positions over an empty cache."""

    def extend(self, positions: int) -> object:
        """Run further positions over the prefix, which is there again afterwards."""
