"""What PyTorch computes for a prompt: the checkpoint as Hugging Face runs it, in one eager pass.

Once as it is, and once in float64: the difference is what rounding does to this model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carve_export.check.exact import computing_in_float64
from carve_export.checkpoint.load import Checkpoint
from carve_models import names
from carve_models.errors import CheckpointError
from carve_models.image_rules import ImageRule
from carve_models.interface import FEATURE
from carve_models.manifest import DecoderSpec, Manifest
from carve_models.prompts.segment import Segment
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.preprocess import preprocess
from carve_runtime.method.geometry import RGB
from carve_runtime.prompt.chunk import prompt_ids
from carve_runtime.prompt.text import PromptPart, Text, prompt_parts

Array = NDArray[np.floating[Any]]

_SEED = 0

#: What models call the argument that tells image tokens (1) from text (0).
_TOKEN_KINDS = {"token_type_ids", "mm_token_type_ids"}

#: Differences of logits in float64, relative to their scale, that rounding explains.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Outputs:
    """What PyTorch computes in one type.

    Attributes:
        features: (1, N, hidden) of each image.
        embeds: (1, S, hidden), the prompt with the features in place.
        logits: (S, V), of every position.
        attention: of the tapped layers as the bundle has it: (L, S, S), the mean over heads, or
            (L, H, S, S).
    """

    features: list[Array]
    embeds: Array
    logits: Array
    attention: Array


@dataclass(frozen=True)
class Reference:
    """One prompt.

    Attributes:
        title: what the prompt is about.
        images: what the model sees of each image.
        parts: the prompt.
        prefix_length: positions through the end of the first image.
        exact: in float64.
        rounded: float32 arrays, computed in the checkpoint's own type.
    """

    title: str
    images: list[ModelInput]
    parts: list[PromptPart]
    prefix_length: int
    exact: Outputs
    rounded: Outputs


def references(
    checkpoint: Checkpoint, manifest: Manifest, text: Text, image: RGB | None = None
) -> list[Reference]:
    """Run the checkpoint about one image, and about the pair of it and its mirrored transpose.

    Args:
        checkpoint: eager attention.
        manifest: the prompts and the image rule.
        text: the runtime's tokenizer.
        image: (H, W, 3) uint8; a made-up one if ``None``.

    Raises:
        CheckpointError: tokens see later tokens, as in PaliGemma, or what the model makes of an
            image depends on the question behind it.
    """
    picture = example_image(manifest.image) if image is None else image
    views = picture, picture.swapaxes(0, 1)[::-1]
    model_inputs = [preprocess(view, manifest.image) for view in views]
    prompts = manifest.prompts
    return [
        _reference(checkpoint, manifest, text, "one image", prompts.single, model_inputs[:1]),
        _reference(checkpoint, manifest, text, "pair", prompts.pair, model_inputs),
    ]


def example_image(rule: ImageRule) -> RGB:
    """Return a made-up image whose size exercises the rule: soft blobs under noise."""
    height, width = rule.example_size()
    random = np.random.default_rng(_SEED)
    y, x = np.indices((height, width)) / max(height, width)
    waves = [np.sin(random.uniform(3, 20) * x + random.uniform(3, 20) * y) for _ in range(3)]
    values = 128 + 80 * np.stack(waves, axis=-1) + random.normal(0, 20, (height, width, 3))
    return np.asarray(values.clip(0, 255), np.uint8)


def _reference(
    checkpoint: Checkpoint,
    manifest: Manifest,
    text: Text,
    title: str,
    segments: Sequence[Segment],
    model_inputs: list[ModelInput],
) -> Reference:
    """Run one prompt in both types, and require in the exact one that its prefix can be shared."""
    parts = prompt_parts(segments, manifest.prompts.general, text.encode)
    ids = prompt_ids(parts, model_inputs)
    prefix = prompt_parts(manifest.prompts.shared_prefix(), "", text.encode)
    length = len(prompt_ids(prefix, model_inputs))
    run = partial(_run, checkpoint, ids, model_inputs, manifest.decoder)
    rounded = run()
    with computing_in_float64():
        exact = run()
        if len(model_inputs) == 1:
            _require_prefix_invariance(checkpoint, ids[:length], model_inputs, exact.logits)
    return Reference(title, model_inputs, parts, length, exact, rounded)


def _run(
    checkpoint: Checkpoint,
    ids: NDArray[np.int64],
    model_inputs: list[ModelInput],
    decoder: DecoderSpec,
) -> Outputs:
    captured: dict[str, Any] = {}

    def capture(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        captured.update(kwargs)

    text_model = checkpoint.module(checkpoint.family.modules.text_model)
    handle = text_model.register_forward_pre_hook(capture, with_kwargs=True)
    try:
        with torch.no_grad():
            features = [_features(checkpoint, model_input) for model_input in model_inputs]
            output = _forward(checkpoint, ids, model_inputs, output_attentions=True)
    finally:
        handle.remove()
    tapped = [output.attentions[layer][0] for layer in decoder.tapped_layers]
    _require_causal(tapped)
    # ``float`` widens half precision; in a block of float64 it narrows nothing.
    heads = torch.stack(tapped).float()
    return Outputs(
        features=features,
        embeds=captured["inputs_embeds"].float().numpy(),
        logits=output.logits[0].float().numpy(),
        attention=(heads if decoder.head_axes else heads.mean(dim=1)).numpy(),
    )


def _forward(
    checkpoint: Checkpoint,
    ids: NDArray[np.int64],
    model_inputs: Sequence[ModelInput],
    *,
    output_attentions: bool = False,
) -> Any:
    """Call the model on a prompt; ``ids`` has ``FEATURE`` where image tokens stand."""
    is_image = ids == FEATURE
    input_ids = torch.from_numpy(np.where(is_image, checkpoint.image_token_id, ids)[None])
    inputs = _image_inputs(checkpoint, model_inputs)
    # Some models derive rotary positions from what is an image, others their masks.
    for name in _TOKEN_KINDS & set(signature(checkpoint.model.forward).parameters):
        inputs[name] = torch.from_numpy(is_image[None].astype(np.int64))
    return checkpoint.model(
        input_ids=input_ids, use_cache=False, output_attentions=output_attentions, **inputs
    )


def _image_inputs(checkpoint: Checkpoint, model_inputs: Sequence[ModelInput]) -> dict[str, Any]:
    """Return images as the Hugging Face model takes them."""
    arrays = [model_input.feeds[names.PIXEL_VALUES] for model_input in model_inputs]
    pixels = torch.cat([torch.from_numpy(array) for array in arrays])
    images = checkpoint.family.images
    inputs = {"pixel_values": pixels[None] if images.nested else pixels}
    if images.grid_argument is not None:
        merge = checkpoint.config.vision_config.spatial_merge_size
        grids = [(1, *(side * merge for side in entry.grid)) for entry in model_inputs]
        inputs[images.grid_argument] = torch.tensor(grids)
    return inputs


def _features(checkpoint: Checkpoint, model_input: ModelInput) -> Array:
    output = checkpoint.model.get_image_features(**_image_inputs(checkpoint, [model_input]))
    pooled = output.pooler_output
    tokens = pooled if isinstance(pooled, torch.Tensor) else torch.cat(list(pooled))
    array: Array = tokens.float().reshape(1, -1, tokens.shape[-1]).numpy()
    return array


def _require_causal(attention: Sequence[torch.Tensor]) -> None:
    """Refuse a model whose tokens see later ones; each of ``attention`` is (heads, S, S)."""
    ahead = max(float(layer.triu(diagonal=1).max()) for layer in attention)
    if ahead > 0:
        raise CheckpointError(
            f"the model's tokens see later tokens (attention of {ahead:.2g}), so that no cache of "
            "the image can be shared between questions",
            "use a model whose decoder is causal",
        )


def _require_prefix_invariance(
    checkpoint: Checkpoint,
    prefix: NDArray[np.int64],
    model_inputs: list[ModelInput],
    whole: Array,
) -> None:
    """Refuse a model in which the image's states depend on what follows the image.

    All passes share the cache of the prefix.

    Args:
        checkpoint: the model.
        prefix: ids through the end of the image.
        model_inputs: the image.
        whole: (S, V) logits of the whole prompt.
    """
    with torch.no_grad():
        alone = _forward(checkpoint, prefix, model_inputs).logits[0].numpy()
    together = whole[: len(prefix)]
    difference = float(np.abs(alone - together).max())
    if not difference <= _ROUNDING * max(1.0, float(np.abs(together).max())):
        raise CheckpointError(
            "the model lets an image's tokens see the question behind them (without it logits "
            f"differ by {difference:.2g}), so that no cache of the image can be shared",
            "use a model whose decoder is causal",
        )
