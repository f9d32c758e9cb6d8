"""Qwen2.5-VL and Qwen3-VL with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.checkpoints.saving import save, with_video
from tests.checkpoints.tokenizer import byte_level_tokenizer

SPECIAL = [
    *("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
]
CHAT_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' -%}
<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}\n
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part['type'] == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}<|im_end|>\n{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}
"""


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    return byte_level_tokenizer(SPECIAL, CHAT_TEMPLATE, image_token="<|image_pad|>")


def special_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the configuration's fields for the special tokens."""
    fields = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in fields.items()}


def text_settings(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "initializer_range": 0.2,  # larger than usual: attention and argmax should not be flat
    }


def _make(config_class: Any, model_class: Any, recipe: dict[str, Any], folder: Path) -> Path:
    tokenizer = qwen_tokenizer()
    config = config_class(
        vision_config=recipe["vision"] | {"initializer_range": 0.2},
        text_config=recipe["text"] | text_settings(tokenizer),
        **special_ids(tokenizer),
    )
    torch.manual_seed(recipe["seed"])
    processor = Qwen2VLImageProcessorPil(**recipe["image_processor"])
    save(model_class(config), tokenizer, processor, recipe["eos_token_ids"], folder)
    return with_video(recipe, folder)


def make_qwen2_5_vl(recipe: dict[str, Any], folder: Path) -> Path:
    """Write a tiny Qwen2.5-VL with seeded random weights and return its folder."""
    return _make(Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, recipe, folder)


def make_qwen3_vl(recipe: dict[str, Any], folder: Path) -> Path:
    """Write a tiny Qwen3-VL with seeded random weights and return its folder."""
    return _make(Qwen3VLConfig, Qwen3VLForConditionalGeneration, recipe, folder)
