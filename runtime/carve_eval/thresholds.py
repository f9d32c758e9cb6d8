"""Write the adaptive mode's thresholds into a bundle; what was there is kept beside it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from carve_eval.answers import THRESHOLDS
from carve_models.errors import BundleError
from carve_models.folder import read_document
from carve_models.manifest import read_manifest
from carve_models.names import MANIFEST_FILE
from carve_models.replacing import replacing, write_json
from carve_runtime.bundle import Bundle

#: Behind the manifest's name.
BACKUP = ".bak"


def require_writable(folder: Path) -> None:
    """Raise :class:`BundleError` unless the manifest of a bundle can be replaced."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BundleError(f"{folder} is read-only", "allow writing, or calibrate a copy")


def write_thresholds(bundle: Bundle, sure_probability: float, focused_entropy: float) -> Path:
    """Write both into the bundle's default settings; return the manifest as it was before.

    Nothing else changes, and no file that the manifest lists is touched: their sums stay true.

    Raises:
        BundleError: the bundle was replaced since it was opened.
        OSError: the manifest cannot be written; what was there stays.
    """
    path = bundle.folder / MANIFEST_FILE
    before = read_document(path)
    if read_manifest(bundle.folder) != bundle.manifest:
        raise BundleError(
            f"{bundle.folder} was replaced while its questions were asked",
            "calibrate again, with what is there now",
        )
    document = msgspec.json.decode(before)
    document["defaults"] |= dict(zip(THRESHOLDS, (sure_probability, focused_entropy), strict=True))
    backup = path.with_name(path.name + BACKUP)
    with replacing(backup) as aside:
        aside.write_bytes(before)
    write_json(path, document)
    return backup
