"""Folders of which one file is damaged at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from carve_runtime.method.geometry import RGB
from tests.fuzz.mutations import byte_edits, damaged, described, document_edits, edited, written
from tests.support import POCKET


class DamagedFolder:
    """A folder, and inputs that say which of its files is damaged how."""

    def __init__(self, folder: Path, names: Sequence[str], *, keep_size: bool = False) -> None:
        """Read the good files.

        Args:
            folder: the folder; its files are written.
            names: those to damage. A ``.json`` file is edited as a document, or as bytes.
            keep_size: only exchange bytes for others.
        """
        self._folder = folder
        self._good = {name: (folder / name).read_bytes() for name in names}
        kinds = []
        for name, data in self._good.items():
            in_bytes = byte_edits(len(data), keep_size=keep_size)
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
            yield name
        finally:
            path.write_bytes(good)


def copied_bundle(folder: Path) -> Path:
    """Return a copy of the default bundle, to be damaged."""
    ignored = shutil.ignore_patterns("checkpoint", "example.jpg")
    return Path(shutil.copytree(POCKET, folder, ignore=ignored))


def tiny_picture() -> RGB:
    """Return a picture that takes little time, (30, 40, 3) uint8."""
    height, width = 30, 40
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
