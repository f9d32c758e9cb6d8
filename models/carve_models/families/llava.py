"""LLaVA-1.5: a CLIP or SigLIP tower, a projector and a Llama-like text model."""

from __future__ import annotations

from carve_models.families.family import (
    ClipTexts,
    Family,
    FixedImages,
    LayerRule,
    Modules,
    PromptLayout,
    TowerFeatures,
    VideoDeclaration,
)

LLAVA = Family(
    name="llava",
    title="LLaVA-1.5",
    architectures=("LlavaForConditionalGeneration",),
    vision_models=("clip_vision_model", "siglip_vision_model"),
    modules=Modules(
        text_model="model.language_model",
        embed_tokens="model.language_model.embed_tokens",
        lm_head="lm_head",
        vision_tower="model.vision_tower",
        projector="model.multi_modal_projector",
    ),
    features=TowerFeatures(layer="vision_feature_layer", strategy="vision_feature_select_strategy"),
    images=FixedImages(square_padding_processors=("LlavaImageProcessor",)),
    prompts=PromptLayout(
        single="<image>\nUSER: {text}\nASSISTANT:",
        pair="<image><image>\nUSER: {text}\nASSISTANT:",
    ),
    layers=LayerRule(first=20, last=25, depth=32),
    # Hugging Face's processor takes no clips: frames are told as several images are.
    video=VideoDeclaration(
        model_types=("llava",),
        sampling="centred",
        max_frames=8,
        needs_file=True,
        texts=ClipTexts(moment="<image>"),
        token="<video>",
        layout="<video>\nUSER: {text}\nASSISTANT:",
    ),
)
