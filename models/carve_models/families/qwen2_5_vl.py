"""Qwen2.5-VL: native resolution, windowed vision attention, 2 x 2 merging, M-RoPE."""

from __future__ import annotations

from carve_models.families.family import (
    Family,
    LayerRule,
    Modules,
    NativeImages,
    PatchFeatures,
    PromptLayout,
)

QWEN2_5_VL = Family(
    name="qwen2_5_vl",
    title="Qwen2.5-VL",
    architectures=("Qwen2_5_VLForConditionalGeneration",),
    vision_models=("qwen2_5_vl", "qwen2_5_vl_vision"),
    modules=Modules(
        text_model="model.language_model",
        embed_tokens="model.language_model.embed_tokens",
        lm_head="lm_head",
        vision_tower="model.visual",
    ),
    features=PatchFeatures(),
    # The paper's limit: 256 tokens of 28 x 28 pixels an image.
    images=NativeImages(max_tokens=256, window_size="window_size"),
    positions="mrope",
    prompts=PromptLayout(),
    layers=LayerRule(first=20, last=25, depth=28),
)
