"""Folders of which one file is damaged at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from carve_models.names import MANIFEST_FILE
from carve_runtime.method.geometry import RGB
from tests.fuzz.mutations import byte_edits, damaged, described, document_edits, edited, written


class DamagedFolder:
    """A folder, and inputs that say which of its files is damaged how."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        *,
        in_place: Collection[str] = (),
        relist: bool = False,
    ) -> None:
        """Read the good files.

        Args:
            folder: the folder; its files are written.
            names: those to damage. A ``.json`` file is edited as a document, or as bytes.
            in_place: those of them whose bytes are only exchanged for others.
            relist: let the bundle's manifest agree with a file that was damaged, so that it is
                used and not refused for its size or sum.
        """
        self._folder = folder
        self._listing = (folder / MANIFEST_FILE).read_bytes() if relist else None
        self._good = {name: (folder / name).read_bytes() for name in names}
        kinds = []
        for name, data in self._good.items():
            in_bytes = byte_edits(len(data), keep_size=name in in_place)
            kinds.append(described(file=st.just(name), bytes=in_bytes))
            if name.endswith(".json"):
                edits = document_edits(json.loads(data))
                kinds += [described(file=st.just(name), document=edits)] * 4
        self.inputs = st.one_of(kinds)

    @contextmanager
    def damaged(self, data: bytes) -> Iterator[str]:
        """Damage a file as an input says, yield its name, and repair it."""
        said: dict[str, Any] = json.loads(data)
        name, edits = said["file"], said.get("bytes")
        good, path = self._good[name], self._folder / name
        if edits is None:
            bad = written(edited(json.loads(good), said["document"]))
        else:
            bad = damaged(good, edits)
        try:
            path.write_bytes(bad)
            if self._listing is not None and name != MANIFEST_FILE:
                self._list(name, bad)
            yield name
        finally:
            path.write_bytes(good)
            if self._listing is not None:
                (self._folder / MANIFEST_FILE).write_bytes(self._listing)

    def _list(self, name: str, data: bytes) -> None:
        manifest = json.loads((self._folder / MANIFEST_FILE).read_bytes())
        manifest["files"][name] = {"size": len(data), "sha256": sha256(data).hexdigest()}
        (self._folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def tiny_picture() -> RGB:
    """Return a picture that takes little time, (30, 40, 3) uint8."""
    height, width = 30, 40
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
