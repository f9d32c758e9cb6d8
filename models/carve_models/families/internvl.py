"""InternVL3: tiles of the closest aspect ratio, pixel shuffle, a Qwen2 text model."""

from __future__ import annotations

from carve_models.families.family import (
    BICUBIC,
    CLIP_COLORS,
    ClipTexts,
    Family,
    LayerRule,
    Modules,
    PromptLayout,
    TiledImages,
    TileTexts,
    TowerFeatures,
    VideoDeclaration,
)

INTERNVL = Family(
    name="internvl",
    title="InternVL3",
    architectures=("InternVLForConditionalGeneration",),
    vision_models=("internvl_vision",),
    modules=Modules(
        text_model="model.language_model",
        embed_tokens="model.language_model.embed_tokens",
        lm_head="lm_head",
        vision_tower="model.vision_tower",
        projector="model.multi_modal_projector",
    ),
    features=TowerFeatures(
        layer="vision_feature_layer",
        output_at_last=True,
        strategy="vision_feature_select_strategy",
        shuffle="downsample_ratio",
    ),
    images=TiledImages(
        split="closest_aspect",
        shrink="downsample_ratio",
        texts=TileTexts(begin="<img>", end="</img>"),
    ),
    prompts=PromptLayout(),
    # The paper has no model of this family; a like share of the depth of Qwen2.5-VL-7B.
    layers=LayerRule(first=20, last=25, depth=28),
    video=VideoDeclaration(
        model_types=("internvl",),
        sampling="centred",
        max_frames=8,
        fields={
            **CLIP_COLORS,
            "size": {"height": 384, "width": 384},
            "resample": BICUBIC,
        },
        texts=ClipTexts(moment="Frame{number}: <image>", between="\n"),
        token="<video>",
    ),
)
