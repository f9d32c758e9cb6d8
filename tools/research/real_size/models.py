"""Published configurations, to be filled with random weights."""

from __future__ import annotations

from collections.abc import Callable

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from carve_models import names
from tools.shared.models.random_checkpoint import RandomModel

QWEN_TOKENS = [
    *("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
]
QWEN_CHAT = """\
<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n
{%- for message in messages %}<|im_start|>{{ message['role'] }}\n
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}<|im_end|>\n{% endfor -%}
<|im_start|>assistant\n"""


def _qwen2_5_vl_3b(token_id: Callable[[str], int]) -> Qwen2_5_VLConfig:
    """``config.json`` of Qwen/Qwen2.5-VL-3B-Instruct."""
    return Qwen2_5_VLConfig(
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "out_hidden_size": 2048,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        text_config={
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [16, 24, 24],
            },
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": token_id("<|im_end|>"),
        },
        tie_word_embeddings=True,
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
    )


def _llava_1_5_7b(token_id: Callable[[str], int]) -> LlavaConfig:
    """``config.json`` of llava-hf/llava-1.5-7b-hf."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=336,
            patch_size=14,
            projection_dim=768,
        ),
        text_config=LlamaConfig(
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=32,
            num_attention_heads=32,
            vocab_size=32064,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            eos_token_id=token_id("</s>"),
        ),
        image_token_id=token_id("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


MODELS = {
    "qwen2.5-vl-3b": RandomModel(
        model=Qwen2_5_VLForConditionalGeneration,
        config=_qwen2_5_vl_3b,
        image_processor=Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=12845056),
        end="<|im_end|>",
        tokens=QWEN_TOKENS,
        chat_template=QWEN_CHAT,
        depths=("num_hidden_layers", "depth"),
    ),
    "llava-1.5-7b": RandomModel(
        model=LlavaForConditionalGeneration,
        config=_llava_1_5_7b,
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
        ),
        end="</s>",
        tokens=[],
        chat_template=None,
        depths=("num_hidden_layers", "num_hidden_layers"),
    ),
}


def layers_of(name: str) -> dict[str, int]:
    """Return the layers of a model's graphs, by the graph's name, at full depth."""
    model = MODELS[name]
    config = model.config(lambda token: 0)
    parts = {names.DECODER: config.text_config, names.VISION_ENCODER: config.vision_config}
    return {
        graph: getattr(part, depth)
        for (graph, part), depth in zip(parts.items(), model.depths, strict=True)
    }
