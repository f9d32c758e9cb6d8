"""Checkpoints of random weights load as any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from carve_export.checkpoint.load import load_checkpoint
from tools.research.real_size.models import MODELS
from tools.shared.models import random_checkpoint as writer

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
}


def small(token_id: Any) -> Any:
    """LLaVA-1.5-7B's configuration, made small."""
    config = MODELS["llava-1.5-7b"].config(token_id)
    for part in (config.text_config, config.vision_config):
        for name, value in SMALL.items():
            setattr(part, name, value)
    config.text_config.num_key_value_heads = config.text_config.num_attention_heads
    config.text_config.head_dim = 16
    return config


def test_a_checkpoint_is_complete(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(writer, "SHARD", 1 << 20)
    monkeypatch.setattr(writer, "DRAWN", 10007)
    model = replace(MODELS["llava-1.5-7b"], config=small)
    folder = writer.write_checkpoint(model, tmp_path / "checkpoint", depth=2)
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    with safe_open(shards[0], "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
    loaded = load_checkpoint(str(folder), weights="float16")
    assert loaded.config.text_config.num_hidden_layers == 2
    matrix = loaded.model.lm_head.weight.detach().numpy()
    assert matrix.dtype == np.float32
    assert 0.015 < matrix.std() < 0.025
