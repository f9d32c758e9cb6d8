"""Qwen3-VL: Qwen2.5-VL with interpolated positions, DeepStack and interleaved M-RoPE."""

from __future__ import annotations

from dataclasses import replace

from carve_models.families.family import (
    BICUBIC,
    HALF_COLORS,
    ClipTexts,
    NativeImages,
    PatchFeatures,
    VideoDeclaration,
)
from carve_models.families.qwen2_5_vl import QWEN2_5_VL

QWEN3_VL = replace(
    QWEN2_5_VL,
    name="qwen3_vl",
    title="Qwen3-VL",
    architectures=("Qwen3VLForConditionalGeneration",),
    vision_models=("qwen3_vl", "qwen3_vl_vision"),
    features=PatchFeatures(deepstack="deepstack_visual_indexes"),
    images=NativeImages(max_tokens=256, position_table="num_position_embeddings"),
    video=VideoDeclaration(
        model_types=("qwen3_vl",),
        sampling="spread",
        max_frames=768,
        fields={
            **HALF_COLORS,
            "size": {"shortest_edge": 128 * 32**2, "longest_edge": 768 * 32**2},
            "resample": BICUBIC,
            "min_frames": 4,
            "temporal_patch_size": 2,
        },
        texts=ClipTexts(moment="<{seconds} seconds><|vision_start|><image><|vision_end|>"),
        token="<|video_pad|>",
        limits="clip",
    ),
)
