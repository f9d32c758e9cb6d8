"""Write the trained model as a Hugging Face checkpoint: fp16 safetensors, tokenizer, processor.

python -m tools.research.pocket.checkpoint --out build/pocket
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch
from transformers import (
    AutoProcessor,
    GenerationConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers import CLIPImageProcessor as ImageProcessor

from tools.research.pocket.training.architecture import MEAN, STD
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.training.tokenizer import build_tokenizer
from tools.research.pocket.world.model_input import INPUT_SIDE, PATCH

_MAX_NEW_TOKENS = 32


def save_checkpoint(model: Pocket, tokenizer: Any, folder: Path) -> None:
    """Write the folder, and prove that it loads with the library's own classes."""
    vlm = model.vlm
    vlm.set_attn_implementation("sdpa")
    vlm.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=_MAX_NEW_TOKENS,
    )
    vlm.to(torch.float16).save_pretrained(folder)
    processor = build_processor(tokenizer)
    processor.save_pretrained(folder)
    # Consumers other than transformers look for both beside the image settings.
    images = processor.image_processor.to_dict() | {
        "processor_class": type(processor).__name__,
        "num_additional_image_tokens": processor.num_additional_image_tokens,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(images, indent=2) + "\n")
    LlavaForConditionalGeneration.from_pretrained(folder, use_safetensors=True)
    AutoProcessor.from_pretrained(folder)


def build_processor(tokenizer: Any) -> Any:
    """Return the processor: the image stretched to the input's square, one class token more."""
    square = {"height": INPUT_SIDE, "width": INPUT_SIDE}
    images = ImageProcessor(
        size=square,
        crop_size=square,
        do_center_crop=False,
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--stage", default="polish", help="Training stage whose weights are taken.")
def main(out: Path, stage: str) -> None:
    """Write OUT/checkpoint from the weights in OUT/STAGE.pt."""
    tokenizer = build_tokenizer()
    model = Pocket(tokenizer)
    model.load_state_dict(torch.load(out / f"{stage}.pt", weights_only=True)["model"])
    save_checkpoint(model, tokenizer, out / "checkpoint")
    weights = out / "checkpoint" / "model.safetensors"
    click.echo(f"{out / 'checkpoint'}: {weights.stat().st_size / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
