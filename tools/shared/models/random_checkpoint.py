"""Checkpoints of any configuration with random half-precision weights, written part by part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

POCKET = Path(__file__).parents[3] / "models" / "pocket" / "checkpoint"
#: Bytes of one safetensors file.
SHARD = 1 << 30
#: Deviation of matrices, as transformers initialises them; norms are ones.
DEVIATION = 0.02
#: Random numbers that are drawn once; weights are parts of them.
DRAWN = (1 << 26) + 7


@dataclass(frozen=True)
class RandomModel:
    """What a checkpoint of random weights is made of.

    Attributes:
        model: the class.
        config: makes its configuration of the ids of its special tokens.
        image_processor: with its settings.
        end: the token that ends an answer.
        tokens: special tokens that its prompts need.
        chat_template: its prompts; ``None`` if the family has its own.
        depths: names of the depths in the configuration, text model and vision encoder.
    """

    model: type[Any]
    config: Callable[[Callable[[str], int]], Any]
    image_processor: Any
    end: str
    tokens: list[str]
    chat_template: str | None
    depths: tuple[str, str]


def write_checkpoint(model: RandomModel, folder: Path, depth: int | None = None) -> Path:
    """Write configuration, tokenizer, image processor and weights; return the folder.

    Args:
        model: what to write.
        folder: where to.
        depth: layers of text model and vision encoder each; the configuration's if ``None``.
    """
    config = write_configuration(model, folder, depth)
    with torch.device("meta"):
        empty = model.model(config)
    empty.tie_weights()
    _write_weights(empty, folder)
    return folder


def write_configuration(model: RandomModel, folder: Path, depth: int | None = None) -> Any:
    """Write what :func:`write_checkpoint` does, but for the weights; return the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(model)
    config = model.config(lambda token: int(tokenizer.convert_tokens_to_ids(token)))
    if depth is not None:
        for part, name in zip(
            (config.text_config, config.vision_config), model.depths, strict=True
        ):
            setattr(part, name, depth)
        if getattr(config.text_config, "layer_types", None):
            config.text_config.layer_types = config.text_config.layer_types[:depth]
    config.architectures = [model.model.__name__]
    config.dtype = "float16"
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model.image_processor.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(model.end)
    GenerationConfig(eos_token_id=end, pad_token_id=end).save_pretrained(folder)
    return config


def _tokenizer(model: RandomModel) -> PreTrainedTokenizerBase:
    """Pocket's tokenizer with the special tokens of the model: ids are random either way."""
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    tokenizer.add_special_tokens({"additional_special_tokens": model.tokens})
    tokenizer.chat_template = model.chat_template
    return tokenizer


def _write_weights(model: torch.nn.Module, folder: Path) -> None:
    """Write shards and their index as transformers does; tied weights once."""
    index: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    size = number = total = 0

    def flush() -> None:
        nonlocal size, number
        number += 1
        name = f"model-{number:05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        index.update(dict.fromkeys(shard, name))
        shard.clear()
        size = 0

    for name, weight in _random_weights(model):
        shard[name] = weight
        size += weight.nbytes
        total += weight.nbytes
        if size >= SHARD:
            flush()
    if shard:
        flush()
    document = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document, indent=1))


def _random_weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    drawn = (torch.randn(DRAWN, generator=random) * DEVIATION).half()
    start = 0
    for name, parameter in model.named_parameters():  # tied ones appear once
        if parameter.dim() == 1:
            filled = torch.full(parameter.shape, float(name.endswith("weight")))
            yield name, filled.half()
            continue
        count = parameter.numel()
        start = start if start + count <= DRAWN else 0
        values = drawn.repeat(-(-count // DRAWN)) if count > DRAWN else drawn[start:]
        start += count
        yield name, values[:count].clone().view(parameter.shape)
