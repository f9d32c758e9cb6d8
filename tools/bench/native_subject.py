"""A model of dynamic resolution and real proportions: Qwen2.5-VL's layout, random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from carve_export import ExportOptions, export_bundle
from tools.bench.subjects import Subject
from tools.shared.files import write_once

#: SmolLM2-135M's shape; three sections of rotary positions.
_TEXT = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e5, "mrope_section": [8, 12, 12]},
}
#: A third of the blocks see everything, as in Qwen2.5-VL an eighth of 32; the rest see windows.
_TOWER = {
    "depth": 12,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_heads": 12,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [2, 5, 8, 11],
    "out_hidden_size": 576,
}
TOKEN_PIXELS = 28**2
#: Tokens of an image at the model's own limit, the model card's recommendation.
FULL_TOKENS = 1280
_FEWEST_TOKENS = 4
_PHOTO = (4000, 3000)
_SEED = 0
#: Of pocket's tokenizer.
_END = "</s>"
_SPECIAL = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_TEMPLATE = """\
{%- for message in messages -%}{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}{%- endfor -%}"""


def native_proportions(work: Path) -> Subject:
    """Return the model with a photograph of 12 megapixels; made in ``work`` once."""
    checkpoint, bundle = work / "native", work / "native-ort"
    write_once(checkpoint, _write_checkpoint)
    if not (bundle / "carve.json").exists():
        options = ExportOptions(max_pixels=FULL_TOKENS * TOKEN_PIXELS)
        export_bundle(str(checkpoint), bundle, options)
    width, height = _PHOTO
    pixels = np.random.default_rng(_SEED).integers(0, 256, (height, width, 3), np.uint8)
    question = "What is written on the sign above the door of the house?"
    name = f"Qwen2.5-VL layout, SmolLM2-135M's shape, {FULL_TOKENS} tokens"
    return Subject(name, checkpoint, bundle, Image.fromarray(pixels), question)


def _write_checkpoint(folder: Path) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil,
    )

    from tools.shared.models.random_checkpoint import RandomModel, write_checkpoint

    def config(token_id: Callable[[str], int]) -> Qwen2_5_VLConfig:
        ids = {name: token_id(token) for name, token in _SPECIAL.items()}
        text = _TEXT | {"eos_token_id": token_id(_END), "bos_token_id": None}
        return Qwen2_5_VLConfig(vision_config=_TOWER, text_config=text, **ids)

    fewest, most = _FEWEST_TOKENS * TOKEN_PIXELS, FULL_TOKENS * TOKEN_PIXELS
    model = RandomModel(
        model=Qwen2_5_VLForConditionalGeneration,
        config=config,
        image_processor=Qwen2VLImageProcessorPil(min_pixels=fewest, max_pixels=most),
        end=_END,
        tokens=list(_SPECIAL.values()),
        chat_template=_TEMPLATE,
        depths=("num_hidden_layers", "depth"),
    )
    write_checkpoint(model, folder)
