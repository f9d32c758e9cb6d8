"""Write a checkpoint of a true configuration with random half-precision weights, part by part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from tools.research.real_size.subjects import Subject

POCKET = Path(__file__).parents[3] / "models" / "pocket" / "checkpoint"
#: Bytes of one safetensors file.
SHARD = 1 << 30
#: Deviation of matrices, as transformers initialises them; norms are ones.
DEVIATION = 0.02
#: Random numbers that are drawn once; weights are stretches of them.
DRAWN = (1 << 26) + 7


def write_checkpoint(subject: Subject, folder: Path, depth: int | None) -> Path:
    """Write configuration, tokenizer, image processor and weights; return the folder.

    Args:
        subject: the model.
        folder: where to.
        depth: layers of text model and vision encoder each; the published ones if ``None``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(subject)
    config = subject.config(lambda token: int(tokenizer.convert_tokens_to_ids(token)))
    if depth is not None:
        for part, name in zip(
            (config.text_config, config.vision_config), subject.depths, strict=True
        ):
            setattr(part, name, depth)
        if getattr(config.text_config, "layer_types", None):
            config.text_config.layer_types = config.text_config.layer_types[:depth]
    config.architectures = [subject.model.__name__]
    config.dtype = "float16"
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    subject.image_processor.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(subject.end)
    GenerationConfig(eos_token_id=end, pad_token_id=end).save_pretrained(folder)
    with torch.device("meta"):
        model = subject.model(config)
    model.tie_weights()
    _write_weights(model, folder)
    return folder


def _tokenizer(subject: Subject) -> PreTrainedTokenizerBase:
    """Pocket's tokenizer with the special tokens of the model: ids are random either way."""
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    tokenizer.add_special_tokens({"additional_special_tokens": subject.tokens})
    tokenizer.chat_template = subject.chat_template
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
        stretch = drawn.repeat(-(-count // DRAWN)) if count > DRAWN else drawn[start:]
        start += count
        yield name, stretch[:count].clone().view(parameter.shape)
