"""The default bundle's graphs run as ``docs/bundle.md`` says, without the runtime's decoder.

The whole decoder, no cache, everything again for each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from onnxruntime import InferenceSession
from transformers import PreTrainedTokenizerFast

from carve_models import names
from carve_models.manifest import read_manifest
from carve_models.prompts.segment import Segment
from carve_runtime.images.preprocess import preprocess
from tests.support import POCKET

SPEC = read_manifest(POCKET).decoder
NO_CACHE = np.empty((1, SPEC.key_value_heads, 0, SPEC.head_dim), np.float32)


@dataclass(frozen=True)
class PassByHand:
    """A greedy pass.

    Attributes:
        ids: of the answer, without the end of the sequence.
        attention: (T, layers, N), of each step's last position to the tokens of the first image.
        probability: of the answer, its end included.
    """

    ids: tuple[int, ...]
    attention: Any
    probability: float


def answer_by_hand(
    segments: Sequence[Segment], text: str, images: Sequence[Any], limit: int
) -> PassByHand:
    """Answer a prompt about (H, W, 3) uint8 images in at most ``limit`` steps."""
    features = [encode(image) for image in images]
    embeds = np.concatenate([embed(segment, text, features) for segment in segments], axis=1)
    start = next(i for i, segment in enumerate(segments) if segment.image == 0)
    first = sum(embed(segment, text, features).shape[1] for segment in segments[:start])
    ids: list[int] = []
    rows: list[Any] = []
    probability = 1.0
    while len(rows) < limit:
        length = embeds.shape[1]
        logits, row = run(
            names.DECODER,
            {
                names.INPUTS_EMBEDS: embeds,
                names.ATTENTION_MASK: np.ones((1, length), np.int64),
                names.POSITION_IDS: np.arange(length)[None],
                **dict.fromkeys(names.past_names(range(SPEC.layers)), NO_CACHE),
            },
            [names.LOGITS, names.LAST_ROW],
        )
        rows.append(row[0, :, first : first + features[0].shape[1]])
        shares = np.exp(logits[0, 0].astype(np.float64))
        token = int(logits.argmax())
        probability *= shares[token] / shares.sum()
        if token in SPEC.eos_token_ids:
            break
        ids.append(token)
        embeds = np.concatenate([embeds, embed(Segment(ids=(token,)), "", [])], axis=1)
    return PassByHand(tuple(ids), np.stack(rows), probability)


def encode(image: Any) -> Any:
    """Return an image's tokens, (1, N, H)."""
    feeds = dict(preprocess(image, read_manifest(POCKET).image).feeds)
    return run(names.VISION_ENCODER, feeds, [names.IMAGE_FEATURES])[0]


def embed(segment: Segment, text: str, features: Sequence[Any]) -> Any:
    """Return the embeddings of a segment of a prompt, (1, S, H)."""
    if segment.image is not None:
        return features[segment.image]
    ids = segment.ids or prompt_ids(str(segment.text).replace("{text}", text))
    return run(names.EMBED_TOKENS, {names.INPUT_IDS: np.array([ids])}, [names.INPUTS_EMBEDS])[0]


def prompt_ids(text: str) -> list[int]:
    """Return the ids of a text, by the checkpoint's own tokenizer."""
    return list(tokenizer()(text, add_special_tokens=False).input_ids)


@cache
def tokenizer() -> Any:
    return PreTrainedTokenizerFast.from_pretrained(POCKET / "checkpoint")


@cache
def session(name: str) -> InferenceSession:
    return InferenceSession(POCKET / names.graph_file(name), providers=["CPUExecutionProvider"])


def run(name: str, feeds: dict[str, Any], outputs: list[str]) -> list[Any]:
    return list(session(name).run(outputs, feeds))
