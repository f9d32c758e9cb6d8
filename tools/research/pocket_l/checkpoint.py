"""Join pocket's tower, a fitted projector and a language model to a LLaVA checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tools.research.pocket.checkpoint import build_processor
from tools.research.pocket_l.fit.ridge import Affine
from tools.shared.models.language_model import IMAGE_TOKEN, LanguageModel, llava

#: The language model's own chat template, without a system message.
PROMPT = "<|im_start|>user\n<image>\n{text}<|im_end|>\n<|im_start|>assistant\n"


def join(tower: Any, layers: Sequence[int], affine: Affine, language: LanguageModel) -> Any:
    """Return a ``LlavaForConditionalGeneration`` in float32.

    Its projector is LLaVA's of two layers: the fitted map, no activation, the identity.

    Args:
        tower: a CLIP vision tower.
        layers: hidden states of it that are concatenated.
        affine: the fitted map.
        language: a Llama and its tokenizer, which has an image token.
    """
    model = llava(
        language,
        vision_config=tower.config,
        vision_feature_layer=list(layers),
        projector_hidden_act="linear",
        image_seq_length=(tower.config.image_size // tower.config.patch_size) ** 2,
    )
    model.model.vision_tower.load_state_dict(tower.state_dict())
    projector = model.model.multi_modal_projector
    with torch.no_grad():
        projector.linear_1.weight.copy_(torch.from_numpy(affine.weight.T))
        projector.linear_1.bias.copy_(torch.from_numpy(affine.bias))
        torch.nn.init.eye_(projector.linear_2.weight)
        torch.nn.init.zeros_(projector.linear_2.bias)
    return model


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a checkpoint that ``AutoProcessor`` and ``carve-export`` read."""
    model.save_pretrained(folder)
    processor = build_processor(tokenizer)
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    layouts = {"single": PROMPT, "pair": PROMPT.replace(IMAGE_TOKEN, IMAGE_TOKEN * 2)}
    (folder / "settings.json").write_text(json.dumps({"prompts": layouts}, indent=2) + "\n")
