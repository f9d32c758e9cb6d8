"""Qwen3-VL: Qwen2.5-VL with interpolated positions, DeepStack and interleaved M-RoPE."""

from __future__ import annotations

from dataclasses import replace

from carve_models.families.family import NativeImages, PatchFeatures
from carve_models.families.qwen2_5_vl import QWEN2_5_VL

QWEN3_VL = replace(
    QWEN2_5_VL,
    name="qwen3_vl",
    title="Qwen3-VL",
    architectures=("Qwen3VLForConditionalGeneration",),
    vision_models=("qwen3_vl", "qwen3_vl_vision"),
    features=PatchFeatures(deepstack="deepstack_visual_indexes"),
    images=NativeImages(max_tokens=256, position_table="num_position_embeddings"),
)
