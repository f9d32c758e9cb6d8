"""The memory that a bundle needs, computed from its manifest alone."""

from __future__ import annotations

from carve_models import names
from carve_models.manifest import Manifest
from carve_runtime.backends.providers import PROVIDERS

#: Bytes of a logit.
_FLOAT32 = 4

#: Bytes of a number, in the type that a bundle computes in.
_ITEMSIZE = {"float32": 4, "float16": 2, "bfloat16": 2}

#: Passes that go side by side: about the question and about the general instruction.
_PASSES = 2

#: Positions of a prompt that are text: chat markup, a question, its answer.
TEXT_POSITIONS = 256


def memory_budget(manifest: Manifest) -> dict[str, int]:
    """Return bytes by what they are for, and their sum, ``total``.

    What a runtime needs for itself, and its working memory, are not in the manifest and not in
    here; the halves of a decoder hold no weights of their own.

    Returns:
        ``weights`` of each graph of the model, as stored; ``cache``: keys and values of the largest
        image, its refined image and a question; the same of the passes that go ``side by side``
        where a device appends to them in place; ``logits`` of one position and ``features`` of both
        images.
    """
    decoder, image = manifest.decoder, manifest.image.most_tokens
    positions = min(decoder.context_length, 2 * image + TEXT_POSITIONS)
    itemsize = _ITEMSIZE[manifest.dtype]
    position = 2 * decoder.layers * decoder.key_value_heads * decoder.head_dim * itemsize
    budget = {
        f"weights {name}": _stored(manifest, name)
        for name in (names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER)
    }
    budget[f"cache of {positions} positions"] = positions * position
    if _goes_side_by_side(manifest):
        each = min(decoder.context_length, image + TEXT_POSITIONS)
        budget[f"{_PASSES} x {each} side by side, on a device"] = _PASSES * each * position
    budget["logits"] = decoder.vocab_size * _FLOAT32
    budget["features"] = 2 * image * decoder.hidden_size * itemsize
    return {**budget, "total": sum(budget.values())}


def _goes_side_by_side(manifest: Manifest) -> bool:
    """Return whether there is a device on which two passes share buffers of their own."""
    devices = (provider for provider in PROVIDERS.values() if provider.memory is not None)
    appends = any(manifest.dtype in provider.appends for provider in devices)
    return manifest.profile == "ort" and appends


def spell_budget(budget: dict[str, int]) -> str:
    """Return the budget as lines, in MB."""
    width = max(len(name) for name in budget)
    digits = len(f"{max(budget.values()) / 1e6:.2f}")
    lines = [f"{name:<{width}}  {size / 1e6:>{digits}.2f} MB" for name, size in budget.items()]
    return "\n".join([*lines, "without the runtime itself and its working memory"])


def _stored(manifest: Manifest, name: str) -> int:
    """Return the bytes of a graph's file and of the weights beside it."""
    file = names.graph_file(name)
    listed = (manifest.files.get(path) for path in (file, f"{file}_data"))
    return sum(entry.size for entry in listed if entry is not None)
