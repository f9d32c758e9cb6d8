"""The models that are measured: pocket, and one of real proportions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from carve_export import ExportOptions, export_bundle
from carve_models.manifest import Profile
from carve_runtime import Carve
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, default_bundle, open_bundle
from tools.shared.files import write_once
from tools.shared.models.language_model import (
    llava,
    load_language_model,
    smollm2_file,
)

#: CLIP's base tower at LLaVA-1.5's resolution: 24 x 24 image tokens.
_TOWER = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 336,
    "patch_size": 14,
}
_SEED = 0


@dataclass(frozen=True)
class Subject:
    """A model in both forms, an image and a question for it.

    Attributes:
        name: as in the table.
        checkpoint: the Hugging Face folder.
        bundle: the exported folder.
        image: what is asked about.
        question: what is asked.
    """

    name: str
    checkpoint: Path
    bundle: Path
    image: Image.Image
    question: str

    def load(self, **options: Any) -> Carve:
        """Load the bundle; it remembers no image, and answers never end by themselves."""
        options = {"image_cache_bytes": 0, **options}
        return Carve(unending(open_bundle(self.bundle)), BackendSettings(), **options)


def unending(bundle: Bundle) -> Bundle:
    """Return a bundle whose answers have exactly ``max_new_tokens`` tokens."""
    spec = bundle.manifest.decoder
    never = replace(spec, eos_token_ids=(spec.vocab_size,))
    return Bundle(bundle.folder, replace(bundle.manifest, decoder=never))


def pocket() -> Subject:
    """Return the default bundle and its example."""
    folder = default_bundle()
    image = Image.open(folder / "example.jpg").convert("RGB")
    question = "What word is on the purple square?"
    return Subject("pocket", folder / "checkpoint", folder, image, question)


def real_proportions(work: Path, profile: Profile = "ort") -> Subject:
    """Return SmolLM2-135M-Instruct behind a random 12-layer tower; made in ``work`` once.

    Raises:
        DependencyError: the package with the decoder is not installed.
    """
    checkpoint, bundle = work / "smollm2-llava", work / f"smollm2-llava-{profile}"
    write_once(checkpoint, _write_checkpoint)
    if not (bundle / "carve.json").exists():
        options = ExportOptions(profile=profile)
        export_bundle(str(checkpoint), bundle, options)
    pixels = np.random.default_rng(_SEED).integers(0, 256, (768, 1024, 3), np.uint8)
    question = "What is written on the sign above the door of the house?"
    return Subject(
        "SmolLM2-135M, 576 tokens", checkpoint, bundle, Image.fromarray(pixels), question
    )


def _write_checkpoint(folder: Path) -> None:
    import torch
    from transformers import CLIPVisionConfig
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    language = load_language_model(smollm2_file())
    torch.manual_seed(_SEED)
    model = llava(language, vision_config=CLIPVisionConfig(**_TOWER), vision_feature_layer=-2)
    side = _TOWER["image_size"]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    model.save_pretrained(folder)
    language.tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
