"""The files that Hugging Face's libraries, Python's and transformers.js, read beside the graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from carve_export.checkpoint.load import Checkpoint
from carve_models.image_rules import ImageRule

_IMAGE_PROCESSOR_FILE = "preprocessor_config.json"
_PROCESSOR_FILE = "processor_config.json"


def write_companions(checkpoint: Checkpoint, folder: Path) -> None:
    """Write tokenizer, image processor and configurations as transformers does."""
    checkpoint.tokenizer.save_pretrained(folder)
    checkpoint.image_processor.save_pretrained(folder)
    checkpoint.config.save_pretrained(folder)
    checkpoint.model.generation_config.save_pretrained(folder)


def write_processor(checkpoint: Checkpoint, image: ImageRule, folder: Path) -> None:
    """Name the processor that joins tokenizer and image processor, if all images have one size.

    transformers.js looks for its class in ``preprocessor_config.json``, and repeats the image token
    once for each patch; a class token that the model drops must not be counted.
    """
    name = PROCESSOR_MAPPING_NAMES.get(checkpoint.config.model_type)
    if name is None or image.fixed_size is None:
        return
    path = folder / _IMAGE_PROCESSOR_FILE
    _write(path, json.loads(path.read_text()) | {"processor_class": name})
    processor = {
        "processor_class": name,
        "image_token": checkpoint.image_token,
        "patch_size": checkpoint.config.vision_config.patch_size,
        "num_additional_image_tokens": 0,
        "vision_feature_select_strategy": "full",
    }
    _write(folder / _PROCESSOR_FILE, processor)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
