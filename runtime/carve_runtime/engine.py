"""The greedy loop over a key/value cache, and the cache of the shared prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.errors import PromptError
from carve_runtime.bundle import Bundle
from carve_runtime.graph import CPU, Graph, OrtValue
from carve_runtime.text import Piece


@dataclass(frozen=True)
class Cache:
    """Keys and values of ``length`` positions. A run returns a new one and leaves this intact."""

    values: tuple[OrtValue, ...]
    length: int


@dataclass
class Counts:
    """Work done so far, for one question."""

    vision_runs: int = 0
    decoder_runs: int = 0
    decoder_tokens: int = 0


@dataclass(frozen=True)
class Pass:
    """One greedy pass.

    Attributes:
        ids: the answer's token ids, without the end-of-sequence id.
        attention: (T, L, N) float32, of each step's last position to the image tokens of the
            first image, for every tapped layer.
    """

    ids: tuple[int, ...]
    attention: NDArray[np.float32]


class Engine:
    """The three graphs of a bundle. Threads may share it: all state is in the arguments."""

    def __init__(self, bundle: Bundle, providers: Sequence[str] = (CPU,)) -> None:
        """Load the graphs; errors as in :class:`carve_runtime.graph.Graph`."""
        self._spec = bundle.manifest.decoder
        self._vision = Graph(bundle, names.VISION_ENCODER, providers)
        self._embed = Graph(bundle, names.EMBED_TOKENS, providers)
        self._decoder = Graph(bundle, names.DECODER, providers)
        self._past = names.past_names(self._spec.layers)
        self._outputs = [names.LOGITS, names.LAST_ROW, *names.present_names(self._spec.layers)]
        shape = (1, self._spec.key_value_heads, 0, self._spec.head_dim)
        self._nothing = tuple(np.zeros(shape, np.float32) for _ in self._past)

    def encode_image(
        self, pixel_values: NDArray[np.float32], counts: Counts
    ) -> NDArray[np.float32]:
        """Return the image tokens' embeddings, (1, N, H) float32."""
        counts.vision_runs += 1
        (features,) = self._vision.run({names.PIXEL_VALUES: pixel_values})
        array: NDArray[np.float32] = features.numpy()
        return array

    def embed(
        self, pieces: Sequence[Piece], images: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return a prompt's embeddings, (1, S, H), image features in their places."""
        parts = [
            images[piece] if isinstance(piece, int) else self._embed_ids(piece)
            for piece in pieces
            if isinstance(piece, int) or len(piece)
        ]
        return np.concatenate(parts, axis=1)

    def _embed_ids(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        (embeds,) = self._embed.run({names.INPUT_IDS: ids[None]})
        array: NDArray[np.float32] = embeds.numpy()
        return array

    def prefill(self, embeds: NDArray[np.float32], counts: Counts) -> Cache:
        """Return the cache of a prefix, (1, P, H)."""
        return self.step(embeds, self.empty_cache(), counts)[2]

    def empty_cache(self) -> Cache:
        """Return the cache of no positions."""
        return Cache(self._nothing, 0)

    def generate(
        self,
        embeds: NDArray[np.float32],
        cache: Cache,
        *,
        max_new_tokens: int,
        image_tokens: slice,
        counts: Counts,
        on_id: Callable[[int], None] | None = None,
    ) -> Pass:
        """Continue a cached prefix greedily until an end-of-sequence id or the limit.

        Args:
            embeds: (1, S, H), the rest of the prompt.
            cache: the prefix; it stays as it is.
            max_new_tokens: most forward steps.
            image_tokens: positions whose attention is returned.
            counts: is added to.
            on_id: receives each new id.

        Raises:
            PromptError: prompt and answer may need more positions than the model has.
        """
        self.require_room(cache.length + embeds.shape[1], max_new_tokens)
        ids: list[int] = []
        rows: list[NDArray[np.float32]] = []
        while True:
            logits, attention, cache = self.step(embeds, cache, counts)
            rows.append(attention[:, image_tokens])
            token = int(logits.argmax())
            if token in self._spec.eos_token_ids:
                break
            ids.append(token)
            if on_id is not None:
                on_id(token)
            if len(rows) == max_new_tokens:
                break
            embeds = self._embed_ids(np.array([token], np.int64))
        return Pass(tuple(ids), np.stack(rows))

    def require_room(self, prompt: int, max_new_tokens: int) -> None:
        """Raise :class:`PromptError` unless prompt and answer fit into the model's context."""
        needed, limit = prompt + max_new_tokens - 1, self._spec.context_length
        if needed > limit:
            raise PromptError(
                f"the prompt of {prompt} tokens and {max_new_tokens} new ones need {needed} "
                f"positions, the model has {limit}",
                "shorten the question, lower max_new_tokens, or ask about the refined image alone",
            )

    def step(
        self, embeds: NDArray[np.float32], cache: Cache, counts: Counts
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Cache]:
        """Run the decoder once over (1, S, H): logits (V,), attention (L, T), the longer cache."""
        new = embeds.shape[1]
        total = cache.length + new
        counts.decoder_runs += 1
        counts.decoder_tokens += new
        logits, attention, *present = self._decoder.run(
            {
                names.INPUTS_EMBEDS: embeds,
                names.ATTENTION_MASK: np.ones((1, total), np.int64),
                names.POSITION_IDS: np.arange(cache.length, total, dtype=np.int64)[None],
                **dict(zip(self._past, cache.values, strict=True)),
            },
            self._outputs,
        )
        return logits.numpy()[0, -1], attention.numpy()[0], Cache(tuple(present), total)
