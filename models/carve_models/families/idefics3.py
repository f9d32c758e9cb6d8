"""Idefics3 and SmolVLM: tiles of one size and a view of the whole, each tagged in the prompt."""

from __future__ import annotations

from carve_models.families.family import (
    HALF_COLORS,
    LANCZOS,
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

IDEFICS3 = Family(
    name="idefics3",
    title="SmolVLM, Idefics3",
    architectures=("SmolVLMForConditionalGeneration", "Idefics3ForConditionalGeneration"),
    vision_models=("smolvlm_vision", "idefics3", "idefics3_vision"),
    modules=Modules(
        text_model="model.text_model",
        embed_tokens="model.text_model.embed_tokens",
        lm_head="lm_head",
        vision_tower="model.vision_model",
        projector="model.connector",
    ),
    features=TowerFeatures(),
    images=TiledImages(
        split="longest_edge",
        shrink="scale_factor",
        texts=TileTexts(
            tile="<fake_token_around_image><row_{row}_col_{column}>",
            row_end="\n",
            global_view="\n\n<fake_token_around_image><global-img>",
            alone="<fake_token_around_image><global-img>",
            end="<fake_token_around_image>",
        ),
        switch="do_image_splitting",
        nested=True,
    ),
    prompts=PromptLayout(),
    # The paper has no model of this family; a like share of the depth of LLaVA-1.5-7B.
    layers=LayerRule(first=20, last=25, depth=32),
    video=VideoDeclaration(
        model_types=("smolvlm",),
        sampling="trimmed",
        max_frames=64,
        fps=1.0,
        fields={
            **HALF_COLORS,
            "size": {"longest_edge": 1456},
            "max_image_size": {"longest_edge": 364},
            "resample": LANCZOS,
        },
        texts=ClipTexts(
            begin="You are provided the following series of {frames} frames from a {duration} "
            "[H:MM:SS] video.\n",
            moment="\nFrame from {clock}:<image>",
            end="\n\n",
        ),
        token="<video>",
        # SmolVLM's processor takes this one whatever the checkpoint's template is.
        layout="<|im_start|>User: <video>{text}<end_of_utterance>\nAssistant:",
    ),
)
