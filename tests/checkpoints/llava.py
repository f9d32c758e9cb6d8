"""LLaVA-1.5 with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from tests.checkpoints.tokenizer import byte_level_tokenizer

TOWERS = {
    "clip": (CLIPVisionConfig, CLIPImageProcessorPil),
    "siglip": (SiglipVisionConfig, SiglipImageProcessorPil),
}


def llava_config(recipe: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    """Return the configuration of a tiny LLaVA."""
    vision_class, _ = TOWERS[recipe["tower"]]
    text = AutoConfig.for_model(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,  # larger than usual: attention and argmax should not be flat
        **recipe["text"],
    )
    return LlavaConfig(
        vision_config=vision_class(**recipe["vision"]),
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=recipe["vision_feature_layer"],
        vision_feature_select_strategy=recipe["vision_feature_select_strategy"],
    )


def make_llava(recipe: dict[str, Any], folder: Path) -> Path:
    """Write a tiny LLaVA with seeded random weights and return its folder."""
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(recipe["seed"])
    model = LlavaForConditionalGeneration(llava_config(recipe, tokenizer)).eval()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=recipe.get("eos_token_ids", tokenizer.eos_token_id),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    _, processor_class = TOWERS[recipe["tower"]]
    processor = LlavaProcessor(
        image_processor=processor_class(**recipe["image_processor"]),
        tokenizer=tokenizer,
        patch_size=recipe["vision"]["patch_size"],
        vision_feature_select_strategy=recipe["vision_feature_select_strategy"],
        num_additional_image_tokens=1 if recipe["tower"] == "clip" else 0,
    )
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    return folder
