"""This project's decoder."""

from __future__ import annotations

from pathlib import Path

from carve_runtime.bundle import open_bundle
from tools.bench.peers.base import PREFILL, PREFIX, SUFFIX
from tools.bench.subjects import Subject
from tools.shared.models.decoder_steps import DecoderSteps


class Ours:
    """Shared past and present buffers; the prefix is rewound."""

    def __init__(self, subject: Subject, work: Path) -> None:
        steps = DecoderSteps(open_bundle(subject.bundle), PREFILL)
        self._prefill = steps.way(PREFILL)
        self._extend = {new: steps.way(new, PREFIX) for new in (SUFFIX, 1)}

    def prefill(self) -> None:
        """See :class:`Peer`."""
        self._prefill()

    def extend(self, positions: int) -> None:
        """See :class:`Peer`."""
        self._extend[positions]()
