"""The vision encoder as modules, with example inputs and names for the trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from carve_export.checkpoint.load import Checkpoint
from carve_export.checkpoint.weights import DTYPES
from carve_export.trace.traceable import BATCH, EXAMPLE_BATCH, Traceable
from carve_export.trace.vision_attention import (
    VISION_ATTENTION_NAME,
    Windows,
    attending_in,
    register_vision_attention,
)
from carve_models import names
from carve_models.families.family import PatchFeatures, TowerFeatures
from carve_models.image_rules import ImageRule
from carve_runtime.images.preprocess import preprocess


class TowerEncoder(nn.Module):
    """Tower, selection of hidden states, projector: called directly, as ``forward`` would."""

    def __init__(self, checkpoint: Checkpoint, features: TowerFeatures) -> None:
        super().__init__()
        modules, config = checkpoint.family.modules, checkpoint.config
        self.tower = checkpoint.module(modules.vision_tower)
        self.projector = checkpoint.module(modules.projector) if modules.projector else None
        self.dtype = DTYPES[checkpoint.dtype]
        chosen = getattr(config, features.layer) if features.layer else None
        self.layers = [chosen] if isinstance(chosen, int) else list(chosen or [])
        if features.output_at_last and self.layers == [-1]:
            self.layers = []
        strategy = getattr(config, features.strategy) if features.strategy else None
        self.first_token = 1 if strategy == features.drop_first else 0
        self.shuffle = round(1 / getattr(config, features.shuffle)) if features.shuffle else 1

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the image tokens."""
        pixels = pixel_values.to(self.dtype)
        output = self.tower(pixels, output_hidden_states=bool(self.layers))
        states = [output.hidden_states[layer] for layer in self.layers]
        selected = [state[:, self.first_token :] for state in states or [output.last_hidden_state]]
        features = _pixel_shuffle(torch.cat(selected, dim=-1), self.shuffle)
        tokens: Tensor = features if self.projector is None else self.projector(features)
        return tokens


def _pixel_shuffle(states: Tensor, side: int) -> Tensor:
    """Concatenate the states of ``side`` x ``side`` neighbours into one, column by column."""
    if side == 1:
        return states
    batch, count, width = states.shape
    rows = round(count**0.5)
    blocks = states.view(batch, rows // side, side, rows // side, side, width)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(batch, count // side**2, side**2 * width)


class PatchEncoder(nn.Module):
    """A tower over packed patches whose layout is an input."""

    def __init__(self, checkpoint: Checkpoint, features: PatchFeatures) -> None:
        super().__init__()
        register_vision_attention()
        self.tower = checkpoint.module(checkpoint.family.modules.vision_tower)
        self.deepstack = features.deepstack is not None
        self.dtype = DTYPES[checkpoint.dtype]

    def forward(
        self,
        pixel_values: Tensor,
        patch_positions: Tensor,
        windows: tuple[Tensor, Tensor] | None = None,
        table: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the image tokens, (1, N, hidden), and the features for the first layers."""
        layout: dict[str, Any] = {"position_ids": patch_positions, "cu_seqlens": patch_positions}
        layout |= {"max_seqlen": 1, "max_window_seqlen": 1}  # only flash kernels read them
        if windows is not None:
            # Patches stay in order; attention itself gathers them, see vision_attention.
            tokens = pixel_values.shape[0] // self.tower.spatial_merge_unit
            layout |= {"window_index": torch.arange(tokens), "cu_window_seqlens": windows[0]}
        if table is not None:
            layout |= {"interp_indices": table[0], "interp_weights": table[1].to(self.dtype)}
        with attending_in(None if windows is None else Windows(*windows)):
            output = self.tower(pixel_values.to(self.dtype), grid_thw=None, **layout)
        features = output.pooler_output[None]
        if not self.deepstack:
            return (features,)
        return features, torch.stack(list(output.deepstack_features))[None]


def traceable_vision(checkpoint: Checkpoint, rule: ImageRule) -> Traceable:
    """Return the vision encoder, ready to trace."""
    features = checkpoint.family.features
    return _TRACEABLE[type(features)](checkpoint, features, rule)


def _traceable_tower(checkpoint: Checkpoint, features: TowerFeatures, rule: ImageRule) -> Traceable:
    (pixel_values,) = rule.encoder_inputs()
    _, *picture = pixel_values.shape
    return Traceable(
        name=names.VISION_ENCODER,
        module=TowerEncoder(checkpoint, features),
        example=(torch.randn(EXAMPLE_BATCH, *picture),),
        dynamic_shapes=({0: BATCH},),
        inputs=[names.PIXEL_VALUES],
        outputs=[names.IMAGE_FEATURES],
    )


def _traceable_patches(
    checkpoint: Checkpoint, features: PatchFeatures, rule: ImageRule
) -> Traceable:
    """Trace over an example image. It switches the tower to our attention."""
    module = PatchEncoder(checkpoint, features)
    checkpoint.model.set_attn_implementation({"vision_config": VISION_ATTENTION_NAME})
    model_input = preprocess(np.zeros((*rule.example_size(), 3), np.uint8), rule)
    example = {name: torch.from_numpy(array) for name, array in model_input.feeds.items()}
    patches = Dim(names.IMAGE_TOKENS) * checkpoint.config.vision_config.spatial_merge_size**2
    shapes = {name: {0: patches} for name in example}
    groups = [names.WINDOW_PATCHES, names.PATCH_SLOTS], [names.TABLE_INDICES, names.TABLE_WEIGHTS]
    if names.WINDOW_PATCHES in example:
        shapes[names.WINDOW_PATCHES] = {0: Dim(names.WINDOWS)}

    def arranged(values: dict[str, Any]) -> tuple[Any, ...]:
        pairs = [tuple(values[name] for name in group if name in values) for group in groups]
        positions = values[names.PIXEL_VALUES], values[names.PATCH_POSITIONS]
        return *positions, *(pair or None for pair in pairs)

    outputs = [names.IMAGE_FEATURES]
    if features.deepstack is not None:
        outputs.append(names.DEEPSTACK_FEATURES)
    return Traceable(
        name=names.VISION_ENCODER,
        module=module,
        example=arranged(example),
        dynamic_shapes=arranged(shapes),
        inputs=list(example),
        outputs=outputs,
    )


#: How each kind of vision encoder is traced.
_TRACEABLE: dict[type[object], Callable[[Checkpoint, Any, ImageRule], Traceable]] = {
    TowerFeatures: _traceable_tower,
    PatchFeatures: _traceable_patches,
}
