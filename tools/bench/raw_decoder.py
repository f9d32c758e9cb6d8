"""A decoder graph run by ONNX Runtime alone, without this project's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from carve_models import names
from carve_models.manifest import DecoderSpec


def feeds(spec: DecoderSpec, new: int, past: int = 0) -> dict[str, Any]:
    """Return random inputs of a decoder: ``new`` positions behind ``past`` ones."""
    random, total = np.random.default_rng(0), past + new
    cache = (1, spec.key_value_heads, past, spec.head_dim)
    return {
        names.INPUTS_EMBEDS: random.standard_normal((1, new, spec.hidden_size), np.float32) / 10,
        names.ATTENTION_MASK: np.ones((1, total), np.int64),
        names.POSITION_IDS: np.arange(past, total, dtype=np.int64)[None],
        **{
            name: random.standard_normal(cache, np.float32) / 10
            for name in names.past_names(range(spec.layers))
        },
    }


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
        """Run so many positions behind so many others."""
        if (new, past) not in self._feeds:
            self._feeds[new, past] = feeds(self._spec, new, past)
        self._session.run(None, self._feeds[new, past])
