"""Token embedding and decoder as modules, with example inputs and names for the trace.

| graph | inputs | outputs |
| --- | --- | --- |
| embed | ``input_ids (B, S)`` | ``inputs_embeds (B, S, hidden)`` |
| decoder | ``inputs_embeds (B, S, hidden)``, ``attention_mask (B, T)``, ``position_ids (B, S)``,
  ``past_key_values.i.{key,value} (B, Kv, P, D)`` | ``logits (B, 1, V)``,
  ``decoder_attentions.last_row (B, tapped layers, T)``, ``present.i.{key,value} (B, Kv, T, D)`` |

``T = P + S``, and ``P`` may be 0. ``last_row`` is the softmax over all keys for the last query,
mean over heads, or (B, tapped layers, Hq, T) with each head's. Logits and rows are float32, all
other numbers have the checkpoint's dtype. Under M-RoPE ``position_ids`` is (3, B, S); with
DeepStack there is an input ``deepstack_embeds (B, K, S, hidden)``, added to the states behind the
first K layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from carve_export.checkpoint.load import Checkpoint
from carve_export.checkpoint.weights import DTYPES
from carve_export.trace.attention import (
    ATTENTION_NAME,
    KeyMask,
    KeyValue,
    Recorder,
    recording,
    register_attention,
)
from carve_export.trace.fuse import Fusion
from carve_export.trace.rewrite import FEWER_LAUNCHES
from carve_export.trace.traceable import BATCH, EXAMPLE_BATCH, Traceable
from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_models.manifest import AttentionRows, DecoderSpec, Profile

_SEQUENCE = Dim(names.SEQUENCE)
_PAST = Dim(names.PAST)
_TOTAL = Dim(names.TOTAL)

# Example sizes: distinct and above one, so that the trace does not take them for constants.
_EXAMPLE_SEQUENCE, _EXAMPLE_PAST = 5, 7


def fuses(checkpoint: Checkpoint, profile: Profile) -> bool:
    """Return whether few operators matter: a GPU gains by it, and half precision is for GPUs."""
    return profile == "ort" and checkpoint.dtype != "float32"


class EmbedTokens(nn.Module):
    """Token ids to embeddings."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.embed = checkpoint.module(checkpoint.family.modules.embed_tokens)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the embeddings."""
        embeds: Tensor = self.embed(input_ids)
        return embeds


class TracedDecoder(nn.Module):
    """The text model over an explicit cache, with the last attention row of tapped layers.

    If it will be split, it also returns what the lower half hands over: see :func:`inner_names`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        profile: Profile,
        kind: AttentionRows,
        parts: Sequence[DecoderPart],
    ) -> None:
        super().__init__()
        modules = checkpoint.family.modules
        self.text_model = checkpoint.module(modules.text_model)
        self.lm_head = checkpoint.module(modules.lm_head)
        self.profile: Profile = profile
        self.kind: AttentionRows = kind
        # Found before the trace, in which no number can be looked at.
        self.fusion = Fusion(self.text_model) if fuses(checkpoint, profile) else nullcontext
        self.taps = [part.tapped for part in parts if part.tapped]
        self.cuts = [part.layers.start for part in parts[1:]]

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past_key_values: list[KeyValue],
        deepstack_embeds: Tensor | None = None,
    ) -> tuple[Any, ...]:
        """Return logits, the tap (unless no layer is tapped), the cache, and the inner results."""
        added = {}
        if deepstack_embeds is not None:
            self.text_model._deepstack_process = _add_features
            added = {
                "visual_pos_masks": attention_mask,  # only its presence counts
                "deepstack_visual_embeds": deepstack_embeds.unbind(dim=1),
            }
        mask = KeyMask(attention_mask, inputs_embeds.shape[1])
        tapped: tuple[int, ...] = sum(self.taps, ())
        recorder = Recorder(self.profile, self.kind, tapped, past_key_values, mask)
        with recording(recorder), self.fusion(), self._states_at_cuts() as states:
            hidden = self.text_model(
                inputs_embeds=inputs_embeds,
                attention_mask=None,
                position_ids=position_ids,
                use_cache=False,
                **added,
            ).last_hidden_state
        logits = self.lm_head(hidden[:, -1:]).float()
        present = [recorder.present[layer] for layer in sorted(recorder.present)]
        rows = [torch.stack([recorder.rows[layer] for layer in tap], dim=1) for tap in self.taps]
        if len(rows) < 2:
            return logits, *rows, present, *states
        return logits, torch.cat(rows, dim=1), present, *states, *rows

    @contextmanager
    def _states_at_cuts(self) -> Iterator[list[Tensor]]:
        """Collect the hidden states that enter the first layer of each later part."""
        states: list[Tensor] = []
        handles = [
            self.text_model.layers[cut].register_forward_pre_hook(
                lambda _, args: states.append(args[0])
            )
            for cut in self.cuts
        ]
        try:
            yield states
        finally:
            for handle in handles:
                handle.remove()


def inner_names(parts: Sequence[DecoderPart]) -> list[str]:
    """Return the names of the results that only a split needs, in the order of the outputs."""
    taps = [part for part in parts if part.tapped]
    handed_over = [names.HIDDEN_STATES for _ in parts[1:]]
    return handed_over + [row_name(part, parts) for part in taps if len(taps) > 1]


def row_name(part: DecoderPart, parts: Sequence[DecoderPart]) -> str:
    """Return the whole decoder's name of the attention rows of one of its parts."""
    taps = [entry for entry in parts if entry.tapped]
    return names.LAST_ROW if len(taps) == 1 else f"{names.LAST_ROW}.{part.name}"


def _add_features(states: Tensor, _: Tensor, features: Tensor) -> Tensor:
    """Add features that already stand in their places; transformers selects them with a mask."""
    return states + features


def traceable_embed(checkpoint: Checkpoint) -> Traceable:
    """Return the token embedding, ready to trace."""
    ids = torch.zeros(EXAMPLE_BATCH, _EXAMPLE_SEQUENCE, dtype=torch.int64)
    return Traceable(
        name=names.EMBED_TOKENS,
        module=EmbedTokens(checkpoint),
        example=(ids,),
        dynamic_shapes=({0: BATCH, 1: _SEQUENCE},),
        inputs=[names.INPUT_IDS],
        outputs=[names.INPUTS_EMBEDS],
    )


def traceable_decoder(
    checkpoint: Checkpoint, spec: DecoderSpec, profile: Profile, parts: Sequence[DecoderPart]
) -> Traceable:
    """Return the decoder, ready to trace; this switches the text model to our attention."""
    register_attention()
    checkpoint.model.set_attn_implementation({"text_config": ATTENTION_NAME})
    random = partial(torch.randn, dtype=DTYPES[checkpoint.dtype])
    total = _EXAMPLE_PAST + _EXAMPLE_SEQUENCE
    cache_shape = (EXAMPLE_BATCH, spec.key_value_heads, _EXAMPLE_PAST, spec.head_dim)
    # Each is a tensor of its own: the trace would merge inputs that share a tensor.
    past = [(random(cache_shape), random(cache_shape)) for _ in range(spec.layers)]
    axes = spec.position_axes
    positions = torch.arange(_EXAMPLE_PAST, total).repeat(*axes, EXAMPLE_BATCH, 1)
    stacked = spec.deepstack_layers > 0
    deepstack = random((EXAMPLE_BATCH, spec.deepstack_layers, _EXAMPLE_SEQUENCE, spec.hidden_size))
    return Traceable(
        name=names.DECODER,
        module=TracedDecoder(checkpoint, profile, spec.attention, parts),
        example=(
            random((EXAMPLE_BATCH, _EXAMPLE_SEQUENCE, spec.hidden_size)),
            torch.ones(EXAMPLE_BATCH, total, dtype=torch.int64),
            positions,
            past,
            *([deepstack] if stacked else []),
        ),
        dynamic_shapes=(
            {0: BATCH, 1: _SEQUENCE},
            {0: BATCH, 1: _TOTAL},
            {len(axes): BATCH, len(axes) + 1: _SEQUENCE},
            [({0: BATCH, 2: _PAST}, {0: BATCH, 2: _PAST}) for _ in past],
            *([{0: BATCH, 2: _SEQUENCE}] if stacked else []),
        ),
        inputs=[
            names.INPUTS_EMBEDS,
            names.ATTENTION_MASK,
            names.POSITION_IDS,
            *names.past_names(range(spec.layers)),
            *([names.DEEPSTACK_EMBEDS] if stacked else []),
        ],
        outputs=[
            names.LOGITS,
            *([names.LAST_ROW] if any(part.tapped for part in parts) else []),
            *names.present_names(range(spec.layers)),
        ],
        inner=inner_names(parts),
        rewriting=FEWER_LAUNCHES if fuses(checkpoint, profile) else None,
    )
