"""SmolVLM, Idefics3 and InternVL3 with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from tests.checkpoints.saving import save, with_video
from tests.checkpoints.tokenizer import byte_level_tokenizer

ROWS = range(1, 7)
IDEFICS_SPECIAL = [
    *("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<|im_start|>"),
    *(f"<row_{row}_col_{column}>" for row in ROWS for column in ROWS),
]
IDEFICS_TEMPLATE = """\
<|im_start|>{% for message in messages -%}
{{ message['role'] | capitalize }}{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}
{%- for part in message['content'] -%}
{{ '<image>' if part['type'] == 'image' else part['text'] }}
{%- endfor -%}<end_of_utterance>\n{% endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""
INTERNVL_SPECIAL = ["<IMG_CONTEXT>", "<img>", "</img>", "<|im_start|>", "<|im_end|>"]
INTERNVL_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}\n
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<IMG_CONTEXT>\n{% elif part['type'] == 'video' -%}
<video>\n{% else -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}<|im_end|>\n{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}
"""
IDEFICS = {
    "smolvlm": (SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil),
    "idefics3": (Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessorPil),
}


def _text(recipe: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        **recipe["text"],
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "initializer_range": 0.2,  # larger than usual: attention and argmax should not be flat
    }


def make_idefics3(recipe: dict[str, Any], folder: Path) -> Path:
    """Write a tiny SmolVLM or Idefics3 with seeded random weights and return its folder."""
    config_class, model_class, processor_class = IDEFICS[recipe["model"]]
    tokenizer = byte_level_tokenizer(IDEFICS_SPECIAL, IDEFICS_TEMPLATE)
    config = config_class(
        vision_config=recipe["vision"] | {"initializer_range": 0.2},
        text_config=_text(recipe, tokenizer),
        scale_factor=recipe["scale_factor"],
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(recipe["seed"])
    processor = processor_class(**recipe["image_processor"])
    save(model_class(config), tokenizer, processor, recipe["eos_token_ids"], folder)
    return with_video(recipe, folder)


def make_internvl(recipe: dict[str, Any], folder: Path) -> Path:
    """Write a tiny InternVL3 with seeded random weights and return its folder."""
    tokenizer = byte_level_tokenizer(
        INTERNVL_SPECIAL,
        INTERNVL_TEMPLATE,
        image_token="<IMG_CONTEXT>",
        start_image_token="<img>",
        end_image_token="</img>",
    )
    config = InternVLConfig(
        vision_config=recipe["vision"] | {"initializer_range": 0.2},
        text_config=_text(recipe, tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        tie_word_embeddings=recipe.get("tie_word_embeddings", False),
    )
    torch.manual_seed(recipe["seed"])
    model = InternVLForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.vision_tower.embeddings.position_embeddings, std=0.2)
    processor = GotOcr2ImageProcessorPil(**recipe["image_processor"])
    save(model, tokenizer, processor, recipe["eos_token_ids"], folder)
    return with_video(recipe, folder)
