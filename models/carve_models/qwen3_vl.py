"""Qwen3-VL: native resolution, interpolated positions, DeepStack, interleaved M-RoPE."""

from __future__ import annotations

from carve_models.family import (
    Family,
    LayerRule,
    Modules,
    NativeImages,
    PatchFeatures,
    PromptLayout,
)

QWEN3_VL = Family(
    name="qwen3_vl",
    title="Qwen3-VL",
    architectures=("Qwen3VLForConditionalGeneration",),
    vision_models=("qwen3_vl", "qwen3_vl_vision"),
    modules=Modules(
        text_model="model.language_model",
        embed_tokens="model.language_model.embed_tokens",
        lm_head="lm_head",
        vision_tower="model.visual",
    ),
    features=PatchFeatures(deepstack="deepstack_visual_indexes"),
    # As for Qwen2.5-VL, where the paper allows 256 tokens an image.
    images=NativeImages(max_tokens=256, position_table="num_position_embeddings"),
    positions="mrope",
    prompts=PromptLayout(),
    layers=LayerRule(first=20, last=25, depth=28),
)
