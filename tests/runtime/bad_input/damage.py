"""Bundles that are changed on purpose, and how a refusal is checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carve_runtime import (
    Carve,
    CarveError,
)

VISION, EMBED, DECODER = (
    f"onnx/{name}.onnx" for name in ("vision_encoder", "embed_tokens", "decoder_model_merged")
)


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "carve.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def list_again(bundle: Path, *names: str) -> None:
    """Make the manifest agree with files that were changed on purpose."""

    def change(manifest: dict[str, Any]) -> None:
        for name in names:
            data = (bundle / name).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            manifest["files"][name] = {"size": len(data), "sha256": digest}

    change_manifest(bundle, change)


def refused(bundle: Path, kind: type[CarveError], message: str, **options: Any) -> None:
    """Check that a bundle is refused, by the right error with cause and remedy."""
    with pytest.raises(kind, match=message) as caught:
        Carve.load(bundle, **options)
    assert caught.type is kind
    assert caught.value.cause
    assert caught.value.remedy
