"""The graphs of a bundle and the greedy loop: every pass continues a prefix that is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.errors import PromptError
from carve_runtime.bundle import Bundle
from carve_runtime.cache import Counts, Prefix
from carve_runtime.decoder import Decoder
from carve_runtime.graph import Graph, SessionSettings
from carve_runtime.text import Piece


@dataclass(frozen=True)
class Pass:
    """One greedy pass.

    Attributes:
        ids: the answer's token ids, without the end-of-sequence id.
        attention: (T, L, N) float32, of each step's last position to the image tokens of the
            first image, for every tapped layer.
        probability: of the answer, its end included: the product over the steps.
    """

    ids: tuple[int, ...]
    attention: NDArray[np.float32]
    probability: float


class Engine:
    """The graphs of a bundle. Threads may share it: all state is in the arguments."""

    def __init__(
        self, bundle: Bundle, settings: SessionSettings | None = None, *, whole: bool = False
    ) -> None:
        """Load the graphs; errors as in :class:`carve_runtime.graph.Graph`.

        Args:
            bundle: the bundle.
            settings: for ONNX Runtime.
            whole: load the decoder in one piece, even if there are halves.
        """
        settings = settings or SessionSettings()
        self._spec = bundle.manifest.decoder
        self._vision = Graph(bundle, names.VISION_ENCODER, settings)
        self._embed = Graph(bundle, names.EMBED_TOKENS, settings)
        self.decoder = Decoder(bundle, settings, whole=whole)

    def encode_image(
        self, pixel_values: NDArray[np.float32], counts: Counts
    ) -> NDArray[np.float32]:
        """Return the image tokens' embeddings, (1, N, H) float32."""
        counts.vision_runs += 1
        outputs = self._vision.run({names.PIXEL_VALUES: pixel_values})
        array: NDArray[np.float32] = outputs[names.IMAGE_FEATURES].numpy()
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
        outputs = self._embed.run({names.INPUT_IDS: ids[None]})
        array: NDArray[np.float32] = outputs[names.INPUTS_EMBEDS].numpy()
        return array

    def prefill(
        self, embeds: NDArray[np.float32], room: int, counts: Counts, *, lower: bool = False
    ) -> Prefix:
        """Return the cache of a prompt's beginning, (1, P, H).

        Args:
            embeds: the embeddings.
            room: positions that passes are expected to need behind it; more can be had later.
            counts: is added to.
            lower: fill the lower half of the decoder only, for now.
        """
        cache = self.decoder.empty(embeds.shape[1] + room)
        step = self.decoder.step(embeds, cache, counts, lower=lower)
        return Prefix(self.decoder, step.cache, step.states)

    def attend(
        self, embeds: NDArray[np.float32], prefix: Prefix, *, image_tokens: slice, counts: Counts
    ) -> NDArray[np.float32]:
        """Return one step's attention, (1, L, N), from the lower half of the decoder alone.

        Args:
            embeds: (1, S, H), the rest of the prompt.
            prefix: its beginning.
            image_tokens: positions whose attention is returned.
            counts: is added to.
        """
        with prefix.lend(embeds.shape[1], counts, lower=True) as cache:
            step = self.decoder.step(embeds, cache, counts, lower=True)
        return step.attention[None, :, image_tokens]

    def generate(
        self,
        embeds: NDArray[np.float32],
        prefix: Prefix,
        *,
        max_new_tokens: int,
        image_tokens: slice,
        counts: Counts,
        on_id: Callable[[int], None] | None = None,
    ) -> Pass:
        """Continue a prompt's beginning greedily until an end-of-sequence id or the limit.

        Args:
            embeds: (1, S, H), the rest of the prompt.
            prefix: its beginning; it stays as it is.
            max_new_tokens: most forward steps.
            image_tokens: positions whose attention is returned.
            counts: is added to.
            on_id: receives each new id.

        Raises:
            PromptError: prompt and answer may need more positions than the model has.
        """
        self.require_room(prefix.length + embeds.shape[1], max_new_tokens)
        room = embeds.shape[1] + max_new_tokens - 1
        ids: list[int] = []
        rows: list[NDArray[np.float32]] = []
        probability = 1.0
        with prefix.lend(room, counts) as cache:
            while True:
                step = self.decoder.step(embeds, cache, counts)
                cache = step.cache
                rows.append(step.attention[:, image_tokens])
                token = int(step.logits.argmax())
                probability *= _probability(step.logits, token)
                if token in self._spec.eos_token_ids:
                    break
                ids.append(token)
                if on_id is not None:
                    on_id(token)
                if len(rows) == max_new_tokens:
                    break
                embeds = self._embed_ids(np.array([token], np.int64))
        return Pass(tuple(ids), np.stack(rows), probability)

    def require_room(self, prompt: int, max_new_tokens: int) -> None:
        """Raise :class:`PromptError` unless prompt and answer fit into the model's context."""
        needed, limit = prompt + max_new_tokens - 1, self._spec.context_length
        if needed > limit:
            raise PromptError(
                f"the prompt of {prompt} tokens and {max_new_tokens} new ones need {needed} "
                f"positions, the model has {limit}",
                "shorten the question, lower max_new_tokens, or ask about the refined image alone",
            )


def _probability(logits: NDArray[np.float32], token: int) -> float:
    """Return the softmax of (V,) logits at one token."""
    shifted = logits.astype(np.float64) - float(logits[token])
    return float(1 / np.exp(shifted).sum())
