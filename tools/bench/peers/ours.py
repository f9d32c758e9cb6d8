"""This project's decoder."""

from __future__ import annotations

from pathlib import Path

from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.decoder.cache import Cache
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.usage import Counts
from tools.bench.peers.base import PREFILL, PREFIX, SUFFIX
from tools.bench.stretches import stretch
from tools.bench.subjects import Subject


class Ours:
    """Shared past and present buffers; the prefix is rewound."""

    def __init__(self, subject: Subject, work: Path) -> None:
        bundle = open_bundle(subject.bundle)
        spec = bundle.manifest.decoder
        self._decoder = Decoder(bundle, BackendSettings())
        starts = {PREFILL: 0, PREFIX: 0, SUFFIX: PREFIX, 1: PREFIX}
        self._stretches = {new: stretch(spec, new, past) for new, past in starts.items()}
        self._empty = self._decoder.empty(PREFILL)
        self._prefix = self._run(PREFIX, self._decoder.empty(PREFILL))

    def _run(self, positions: int, cache: Cache) -> Cache:
        return self._decoder.step(self._stretches[positions], cache, Counts()).cache

    def prefill(self) -> None:
        """See :class:`Peer`."""
        self._run(PREFILL, self._empty)

    def suffix(self) -> None:
        """See :class:`Peer`."""
        self._run(SUFFIX, self._prefix)

    def decode(self) -> None:
        """See :class:`Peer`."""
        self._run(1, self._prefix)
