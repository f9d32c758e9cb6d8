"""ONNX Runtime GenAI on the same decoder, without the tap, with its embedding in front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import compose

from carve_models import names
from carve_models.manifest import DecoderSpec
from carve_runtime.bundle import open_bundle
from tools.bench.peers.base import PREFILL, PREFIX, SUFFIX
from tools.bench.subjects import Subject
from tools.bench.untapped import untapped_file

_MODEL_FILE = "model.onnx"


class OnnxRuntimeGenAI:
    """It feeds ids, so embedding and decoder are one graph; image tokens are ids here."""

    def __init__(self, subject: Subject, work: Path) -> None:
        import onnxruntime_genai

        spec = open_bundle(subject.bundle).manifest.decoder
        folder = work / f"{subject.bundle.name}-genai"
        _write(folder, subject, spec, untapped_file(subject, work))
        self._library: Any = onnxruntime_genai
        self._model = self._library.Model(str(folder))
        random = np.random.default_rng(0)
        self._ids = random.integers(10, spec.vocab_size - 10, PREFILL, np.int64).astype(np.int32)
        self._prefix = self._start(PREFIX)

    def _start(self, positions: int) -> Any:
        parameters = self._library.GeneratorParams(self._model)
        parameters.set_search_options(max_length=PREFILL + SUFFIX, do_sample=False)
        generator = self._library.Generator(self._model, parameters)
        generator.append_tokens(self._ids[:positions])
        return generator

    def prefill(self) -> None:
        """See :class:`Peer`."""
        self._start(PREFILL)

    def extend(self, positions: int) -> None:
        """See :class:`Peer`."""
        self._prefix.append_tokens(self._ids[:positions])
        self._prefix.rewind_to(PREFIX)


def _write(folder: Path, subject: Subject, spec: DecoderSpec, decoder_file: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    embed = onnx.load(subject.bundle / names.graph_file(names.EMBED_TOKENS))
    decoder = onnx.load(decoder_file)
    embed = compose.add_prefix(embed, "embed/", rename_inputs=False, rename_outputs=False)
    embed.ir_version = decoder.ir_version
    joined = compose.merge_models(
        embed, decoder, io_map=[(names.INPUTS_EMBEDS, names.INPUTS_EMBEDS)]
    )
    onnx.save(joined, folder / _MODEL_FILE)
    (folder / "genai_config.json").write_text(json.dumps(_config(spec), indent=2))


def _config(spec: DecoderSpec) -> dict[str, Any]:
    cache = {"past": "past_key_values.%d.{}", "present": "present.%d.{}"}
    inputs = {name: name for name in (names.INPUT_IDS, names.ATTENTION_MASK, names.POSITION_IDS)}
    for kind in ("key", "value"):
        inputs[f"past_{kind}_names"] = cache["past"].format(kind)
    outputs = {names.LOGITS: names.LOGITS} | {
        f"present_{kind}_names": cache["present"].format(kind) for kind in ("key", "value")
    }
    return {
        "model": {
            "type": "llama",
            "vocab_size": spec.vocab_size,
            "context_length": spec.context_length,
            "bos_token_id": spec.eos_token_ids[0],
            "eos_token_id": list(spec.eos_token_ids),
            "pad_token_id": spec.eos_token_ids[0],
            "decoder": {
                "session_options": {"log_id": "genai", "provider_options": []},
                "filename": _MODEL_FILE,
                "head_size": spec.head_dim,
                "hidden_size": spec.hidden_size,
                "num_attention_heads": spec.attention_heads,
                "num_key_value_heads": spec.key_value_heads,
                "num_hidden_layers": spec.layers,
                "inputs": inputs,
                "outputs": outputs,
            },
        },
        "search": {"do_sample": False, "past_present_share_buffer": True},
    }
