"""Names of graphs, tensors, their dimensions and files that every bundle shares.

They follow the ONNX bundles of transformers.js; ``decoder_attentions.last_row`` is ours.
"""

from __future__ import annotations

from collections.abc import Iterable

MANIFEST_FILE = "carve.json"
TOKENIZER_FILE = "tokenizer.json"

VISION_ENCODER = "vision_encoder"
EMBED_TOKENS = "embed_tokens"
DECODER = "decoder_model_merged"
DECODER_LOWER = "decoder_lower"
DECODER_UPPER = "decoder_upper"
DECODERS = (DECODER, DECODER_LOWER, DECODER_UPPER)

#: What surrounds the model, as graphs, for programs without Python.
PREPROCESS = "preprocess"
CARVE_REFINE = "carve_refine"

PIXEL_VALUES = "pixel_values"
PATCH_POSITIONS = "patch_positions"
WINDOW_PATCHES = "window_patches"
PATCH_SLOTS = "patch_slots"
TABLE_INDICES = "table_indices"
TABLE_WEIGHTS = "table_weights"
IMAGE_FEATURES = "image_features"
DEEPSTACK_FEATURES = "deepstack_features"
INPUT_IDS = "input_ids"
INPUTS_EMBEDS = "inputs_embeds"
ATTENTION_MASK = "attention_mask"
POSITION_IDS = "position_ids"
DEEPSTACK_EMBEDS = "deepstack_embeds"
HIDDEN_STATES = "hidden_states"
LOGITS = "logits"
LAST_ROW = "decoder_attentions.last_row"

#: Dimensions that have no fixed size.
BATCH = "batch_size"
SEQUENCE = "sequence_length"
PAST = "past_sequence_length"
TOTAL = "total_sequence_length"
PATCHES = "patches"
IMAGE_TOKENS = "image_tokens"
WINDOWS = "windows"

#: Axes of ``position_ids`` under M-RoPE: time, row, column.
MROPE_AXES = 3


def graph_file(graph: str) -> str:
    """Return a graph's path inside a bundle."""
    return f"onnx/{graph}.onnx"


def cache_names(prefix: str, layers: Iterable[int]) -> list[str]:
    """Return ``prefix.i.key, prefix.i.value`` for each layer, in graph order."""
    return [f"{prefix}.{layer}.{kind}" for layer in layers for kind in ("key", "value")]


def past_names(layers: Iterable[int]) -> list[str]:
    """Return a decoder's cache inputs, each ``(B, Kv, P, D)``."""
    return cache_names("past_key_values", layers)


def present_names(layers: Iterable[int]) -> list[str]:
    """Return a decoder's cache outputs, each ``(B, Kv, P + S, D)``."""
    return cache_names("present", layers)
