"""The model: a standard Hugging Face LLaVA, small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from tools.research.pocket.world.model_input import GRID, IMAGE_TOKENS, INPUT_SIDE, PATCH

#: Normalisation of every colour channel.
MEAN, STD = 0.5, 0.27


@dataclass(frozen=True)
class Size:
    """Widths and depths of the two transformers."""

    tower_width: int = 128
    tower_layers: int = 4
    text_width: int = 128
    text_layers: int = 4
    heads: int = 4
    text_mlp: int = 320
    context: int = 1024


def build_model(tokenizer: Any, size: Size = Size()) -> Any:
    """Return an untrained ``LlavaForConditionalGeneration``, initialised to learn quickly."""
    vision = CLIPVisionConfig(
        hidden_size=size.tower_width,
        intermediate_size=size.tower_width * 4,
        num_hidden_layers=size.tower_layers,
        num_attention_heads=size.heads,
        image_size=INPUT_SIDE,
        patch_size=PATCH,
        projection_dim=size.tower_width,
        hidden_act="gelu",
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.text_width,
        intermediate_size=size.text_mlp,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.context,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        _start_tower(model.model.vision_tower)
        _start_text_model(model.model.language_model, model.lm_head)
    return model


def normalize(pixels: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
    """Return ``pixel_values`` (B, 3, H, W) float32 of (B, H, W, 3) uint8."""
    values = torch.as_tensor(pixels).permute(0, 3, 1, 2).float()
    return (values / 255 - MEAN) / STD


def _start_tower(tower: Any) -> None:
    """Start with attention to near patches: sine positions, and queries that equal keys."""
    width = tower.config.hidden_size
    waves = 2 * math.pi / torch.logspace(math.log10(4), math.log10(2.5 * GRID), width // 4)
    angles = torch.arange(GRID)[:, None] * waves
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = axis[:, None].expand(-1, GRID, -1), axis[None].expand(GRID, -1, -1)
    embeddings = tower.embeddings
    embeddings.position_embedding.weight[1:] = torch.cat([rows, columns], -1).flatten(0, 1)
    nn.init.normal_(embeddings.patch_embedding.weight, std=0.05)
    for layer in tower.encoder.layers:
        attention = layer.self_attn
        shared = torch.randn_like(attention.q_proj.weight) * 0.1
        attention.q_proj.weight.copy_(shared + torch.randn_like(shared) * 0.03)
        attention.k_proj.weight.copy_(shared + torch.randn_like(shared) * 0.03)
        nn.init.normal_(attention.v_proj.weight, std=0.06)
        nn.init.normal_(attention.out_proj.weight, std=0.04)


def _start_text_model(text: Any, head: nn.Linear) -> None:
    """Start with attention to similar embeddings, wherever they stand.

    Queries and keys share a random matrix on the slowly rotating pairs of the rotary embedding.
    """
    nn.init.normal_(text.embed_tokens.weight, std=1.0)
    head.weight.copy_(text.embed_tokens.weight * 0.03 + torch.randn_like(head.weight) * 0.01)
    half = text.config.head_dim // 2
    slow = (torch.arange(half) >= 6).repeat(2 * text.config.num_attention_heads).float()
    for layer in text.layers:
        attention = layer.self_attn
        shared = torch.randn_like(attention.q_proj.weight) * 0.13 * slow[:, None]
        attention.q_proj.weight.copy_(shared + torch.randn_like(shared) * 0.03)
        attention.k_proj.weight.copy_(shared + torch.randn_like(shared) * 0.03)
        for linear in (attention.v_proj, attention.o_proj):
            nn.init.normal_(linear.weight, std=0.06)
        for linear in (layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj):
            nn.init.normal_(linear.weight, std=0.05)
