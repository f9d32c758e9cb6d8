"""Write the parts of a checkpoint as Hugging Face does."""

from __future__ import annotations

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
