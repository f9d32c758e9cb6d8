"""Qwen2.5-VL: native resolution, windowed vision attention, 2 x 2 merging, M-RoPE."""

from __future__ import annotations

from carve_models.families.family import (
    BICUBIC,
    CLIP_COLORS,
    ClipTexts,
    Family,
    LayerRule,
    Modules,
    NativeImages,
    PatchFeatures,
    PromptLayout,
    VideoDeclaration,
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
    video=VideoDeclaration(
        model_types=("qwen2_5_vl",),
        sampling="stepped",
        max_frames=768,
        fields={
            **CLIP_COLORS,
            "size": {"shortest_edge": 128 * 28**2, "longest_edge": 768 * 28**2},
            "resample": BICUBIC,
            "min_frames": 4,
            "temporal_patch_size": 2,
        },
        texts=ClipTexts(moment="<image>"),
        token="<|video_pad|>",
        seconds="tokens_per_second",
    ),
)
