"""The three graphs of a bundle as modules, with example inputs and names for the trace.

| graph | inputs | outputs |
| --- | --- | --- |
| vision | ``pixel_values (B, 3, h, w)`` | ``image_features (B, N, hidden)`` |
| embed | ``input_ids (B, S)`` | ``inputs_embeds (B, S, hidden)`` |
| decoder | ``inputs_embeds (B, S, hidden)``, ``attention_mask (B, T)``, ``position_ids (B, S)``,
  ``past_key_values.i.{key,value} (B, Kv, P, D)`` | ``logits (B, 1, V)``,
  ``decoder_attentions.last_row (B, tapped layers, T)``, ``present.i.{key,value} (B, Kv, T, D)`` |

``T = P + S``, and ``P`` may be 0. ``last_row`` is the softmax over all keys for the last query,
mean over heads, float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from carve_export.attention import (
    ATTENTION_NAME,
    KeyMask,
    KeyValue,
    Recorder,
    recording,
    register_attention,
)
from carve_export.checkpoint import Checkpoint
from carve_models import names
from carve_models.manifest import DecoderSpec, ImageSpec, Profile

_BATCH = Dim("batch_size")
_SEQUENCE = Dim("sequence_length")
_PAST = Dim("past_sequence_length")
_TOTAL = Dim("total_sequence_length")

# Example sizes: distinct and above one, so that the trace takes none of them for a constant.
_EXAMPLE_BATCH, _EXAMPLE_SEQUENCE, _EXAMPLE_PAST = 2, 5, 7


@dataclass(frozen=True)
class Traceable:
    """A module with everything that a trace needs."""

    name: str
    module: nn.Module
    example: tuple[Any, ...]
    dynamic_shapes: tuple[Any, ...]
    inputs: list[str]
    outputs: list[str]


class VisionEncoder(nn.Module):
    """Tower, selection of hidden states, projector: called directly, as ``forward`` would."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        modules, features = checkpoint.family.modules, checkpoint.family.features
        self.tower = checkpoint.module(modules.vision_tower)
        self.projector = checkpoint.module(modules.projector)
        chosen = getattr(checkpoint.config, features.layer)
        self.layers = [chosen] if isinstance(chosen, int) else list(chosen)
        strategy = getattr(checkpoint.config, features.strategy)
        self.first_token = 1 if strategy == features.drop_first else 0

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the image tokens."""
        states = self.tower(pixel_values, output_hidden_states=True).hidden_states
        selected = [states[layer][:, self.first_token :] for layer in self.layers]
        features: Tensor = self.projector(torch.cat(selected, dim=-1))
        return features


class EmbedTokens(nn.Module):
    """Token ids to embeddings."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.embed = checkpoint.module(checkpoint.family.modules.embed_tokens)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the embeddings."""
        embeds: Tensor = self.embed(input_ids)
        return embeds


class Decoder(nn.Module):
    """The text model over an explicit cache, with the last attention row of tapped layers."""

    def __init__(self, checkpoint: Checkpoint, profile: Profile, tapped: Sequence[int]) -> None:
        super().__init__()
        modules = checkpoint.family.modules
        self.text_model = checkpoint.module(modules.text_model)
        self.lm_head = checkpoint.module(modules.lm_head)
        self.profile: Profile = profile
        self.tapped = tuple(tapped)

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: list[KeyValue],
    ) -> tuple[Any, ...]:
        """Return logits, the tap (unless no layer is tapped) and the cache."""
        mask = KeyMask(attention_mask, inputs_embeds.shape[1])
        with recording(Recorder(self.profile, self.tapped, past_key_values, mask)) as recorder:
            hidden = self.text_model(
                inputs_embeds=inputs_embeds,
                attention_mask=None,
                position_ids=position_ids,
                use_cache=False,
            ).last_hidden_state
        logits = self.lm_head(hidden[:, -1:])
        present = [recorder.present[layer] for layer in sorted(recorder.present)]
        if not self.tapped:
            return logits, present
        rows = torch.stack([recorder.rows[layer] for layer in self.tapped], dim=1)
        return logits, rows, present


def vision_graph(checkpoint: Checkpoint, spec: ImageSpec) -> Traceable:
    """Return the vision encoder, ready to trace."""
    return Traceable(
        name=names.VISION_ENCODER,
        module=VisionEncoder(checkpoint),
        example=(torch.randn(_EXAMPLE_BATCH, 3, *spec.size),),
        dynamic_shapes=({0: _BATCH},),
        inputs=[names.PIXEL_VALUES],
        outputs=[names.IMAGE_FEATURES],
    )


def embed_graph(checkpoint: Checkpoint) -> Traceable:
    """Return the token embedding, ready to trace."""
    ids = torch.zeros(_EXAMPLE_BATCH, _EXAMPLE_SEQUENCE, dtype=torch.int64)
    return Traceable(
        name=names.EMBED_TOKENS,
        module=EmbedTokens(checkpoint),
        example=(ids,),
        dynamic_shapes=({0: _BATCH, 1: _SEQUENCE},),
        inputs=[names.INPUT_IDS],
        outputs=[names.INPUTS_EMBEDS],
    )


def decoder_graph(
    checkpoint: Checkpoint, spec: DecoderSpec, profile: Profile, tapped: Sequence[int]
) -> Traceable:
    """Return the decoder, ready to trace. It switches the text model to our attention."""
    register_attention()
    checkpoint.model.set_attn_implementation({"text_config": ATTENTION_NAME})
    total = _EXAMPLE_PAST + _EXAMPLE_SEQUENCE
    cache_shape = (_EXAMPLE_BATCH, spec.key_value_heads, _EXAMPLE_PAST, spec.head_dim)
    # Each a tensor of its own: the trace would merge inputs that share one.
    past = [(torch.randn(cache_shape), torch.randn(cache_shape)) for _ in range(spec.layers)]
    positions = torch.arange(_EXAMPLE_PAST, total).repeat(_EXAMPLE_BATCH, 1)
    return Traceable(
        name=names.DECODER,
        module=Decoder(checkpoint, profile, tapped),
        example=(
            torch.randn(_EXAMPLE_BATCH, _EXAMPLE_SEQUENCE, spec.hidden_size),
            torch.ones(_EXAMPLE_BATCH, total, dtype=torch.int64),
            positions,
            past,
        ),
        dynamic_shapes=(
            {0: _BATCH, 1: _SEQUENCE},
            {0: _BATCH, 1: _TOTAL},
            {0: _BATCH, 1: _SEQUENCE},
            [({0: _BATCH, 2: _PAST}, {0: _BATCH, 2: _PAST}) for _ in past],
        ),
        inputs=[
            names.INPUTS_EMBEDS,
            names.ATTENTION_MASK,
            names.POSITION_IDS,
            *names.past_names(spec.layers),
        ],
        outputs=[
            names.LOGITS,
            *([names.LAST_ROW] if tapped else []),
            *names.present_names(spec.layers),
        ],
    )
