"""Write the parts of a checkpoint as Hugging Face does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerFast


def save(
    model: Any, tokenizer: PreTrainedTokenizerFast, processor: Any, eos: Any, folder: Path
) -> Path:
    """Write model, tokenizer and image processor, and return the folder.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        processor: its image processor.
        eos: id or ids that end an answer.
        folder: where to.
    """
    model.generation_config = GenerationConfig(
        eos_token_id=eos, pad_token_id=tokenizer.pad_token_id
    )
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def with_video(recipe: dict[str, Any], folder: Path) -> Path:
    """Write the recipe's video processor, if it has one, and return the folder."""
    if "video_processor" in recipe:
        (folder / "video_preprocessor_config.json").write_text(
            json.dumps(recipe["video_processor"])
        )
    return folder
