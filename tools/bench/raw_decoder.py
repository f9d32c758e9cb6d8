"""A decoder graph run by ONNX Runtime alone, without this project's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from carve_models.manifest import DecoderSpec
from tools.shared.models.decoder_inputs import graph_inputs, random_embeds


class RawDecoder:
    """One session, with ONNX Runtime's own defaults unless told otherwise."""

    def __init__(
        self, file: Path, spec: DecoderSpec, options: onnxruntime.SessionOptions | None = None
    ) -> None:
        self._spec = spec
        self._session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self._feeds: dict[tuple[int, int], dict[str, Any]] = {}

    def run(self, new: int, past: int = 0) -> None:
        """Run ``new`` positions behind ``past`` ones."""
        if (new, past) not in self._feeds:
            self._feeds[new, past] = graph_inputs(self._spec, random_embeds(self._spec, new), past)
        self._session.run(None, self._feeds[new, past])


def run_once(file: Path, spec: DecoderSpec, new: int) -> None:
    """Load a decoder and run ``new`` positions: what a process of its own is measured doing."""
    RawDecoder(file, spec).run(new)
