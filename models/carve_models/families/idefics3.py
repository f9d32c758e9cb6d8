"""Idefics3 and SmolVLM: tiles of one size and a view of the whole, each tagged in the prompt."""

from __future__ import annotations

from carve_models.families.family import (
    Family,
    LayerRule,
    Modules,
    PromptLayout,
    TiledImages,
    TileTexts,
    TowerFeatures,
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
)
