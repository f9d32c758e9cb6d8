"""The graphs of a bundle and the greedy loop: every pass continues a prefix that is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.errors import PromptError
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.cache import Counts, Prefix
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.images.model_input import FEATURE, ModelInput
from carve_runtime.prompt.chunk import (
    Features,
    PromptChunk,
    prompt_ids,
    prompt_positions,
    spread_features,
)
from carve_runtime.prompt.text import PromptPart


@dataclass(frozen=True)
class Pass:
    """One greedy pass.

    Attributes:
        ids: the answer's token ids, without the end-of-sequence id.
        attention: (T, L, N) float32, of each step's last position to the tokens of the first
            image's attention map, for every tapped layer.
        probability: of the answer, its end included: the product over the steps.
    """

    ids: tuple[int, ...]
    attention: NDArray[np.float32]
    probability: float


class Engine:
    """The graphs of a bundle. Threads may share it: all state is in the arguments."""

    def __init__(
        self, bundle: Bundle, settings: BackendSettings | None = None, *, whole: bool = False
    ) -> None:
        """Load the graphs; errors as in :func:`carve_runtime.backends.load_graph`.

        Args:
            bundle: the bundle.
            settings: who runs them.
            whole: load the decoder in one piece, even if there are halves.
        """
        settings = settings or BackendSettings()
        self._spec = bundle.manifest.decoder
        self._vision = load_graph(bundle, names.VISION_ENCODER, settings)
        self._embed = load_graph(bundle, names.EMBED_TOKENS, settings)
        self.decoder = Decoder(bundle, settings, whole=whole)

    def encode_image(self, seen: ModelInput, counts: Counts) -> Features:
        """Return an image's tokens."""
        counts.vision_runs += 1
        outputs = self._vision.run(seen.feeds)
        tokens = outputs[names.IMAGE_FEATURES].numpy().reshape(1, -1, self._spec.hidden_size)
        if self._spec.deepstack_layers == 0:
            return Features(seen, tokens)
        return Features(seen, tokens, outputs[names.DEEPSTACK_FEATURES].numpy())

    def embed(
        self, pieces: Sequence[PromptPart], images: Sequence[Features], start: int = 0
    ) -> PromptChunk:
        """Return a stretch of a prompt, image features in their places.

        Args:
            pieces: token ids and indices into ``images``.
            images: every image that the pieces name.
            start: the position id of the first token.
        """
        seen = [image.seen for image in images]
        used = [images[piece] for piece in pieces if isinstance(piece, int)]
        ids = prompt_ids(pieces, seen)
        embeds = np.empty((1, len(ids), self._spec.hidden_size), np.float32)
        literal = ids != FEATURE
        if literal.any():
            embeds[:, literal] = self._embed_ids(ids[literal])
        if used:
            embeds[:, ~literal] = np.concatenate([image.tokens for image in used], axis=1)
        positions, following = prompt_positions(pieces, seen, self._spec.positions, start)
        deepstack = None
        if layers := self._spec.deepstack_layers:
            added = [image.deepstack for image in used if image.deepstack is not None]
            deepstack = spread_features(ids, added, (layers, self._spec.hidden_size))
        return PromptChunk(embeds, positions, following, deepstack)

    def _embed_ids(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        outputs = self._embed.run({names.INPUT_IDS: ids[None]})
        array: NDArray[np.float32] = outputs[names.INPUTS_EMBEDS].numpy()
        return array

    def prefill(
        self, beginning: PromptChunk, room: int, counts: Counts, *, lower: bool = False
    ) -> Prefix:
        """Return the cache of a prompt's beginning.

        Args:
            beginning: the stretch.
            room: positions that passes are expected to need behind it; more can be had later.
            counts: is added to.
            lower: fill the lower half of the decoder only, for now.
        """
        cache = self.decoder.empty(beginning.length + room)
        step = self.decoder.step(beginning, cache, counts, lower=lower)
        return Prefix(self.decoder, step.cache, step.states, beginning.positions)

    def attend(
        self, rest: PromptChunk, prefix: Prefix, *, map_tokens: NDArray[np.int64], counts: Counts
    ) -> NDArray[np.float32]:
        """Return one step's attention, (1, L, N), from the lower half of the decoder alone.

        Args:
            rest: the rest of the prompt.
            prefix: its beginning.
            map_tokens: (N,), tokens whose attention is returned.
            counts: is added to.
        """
        with prefix.lend(rest.length, counts, lower=True) as cache:
            step = self.decoder.step(rest, cache, counts, lower=True)
        return step.attention[None, :, map_tokens]

    def generate(
        self,
        rest: PromptChunk,
        prefix: Prefix,
        *,
        max_new_tokens: int,
        map_tokens: NDArray[np.int64],
        counts: Counts,
        on_id: Callable[[int], None] | None = None,
    ) -> Pass:
        """Continue a prompt's beginning greedily until an end-of-sequence id or the limit.

        Args:
            rest: the rest of the prompt.
            prefix: its beginning; it stays as it is.
            max_new_tokens: most forward steps.
            map_tokens: (N,), tokens whose attention is returned.
            counts: is added to.
            on_id: receives each new id.

        Raises:
            PromptError: prompt and answer may need more positions than the model has.
        """
        self.require_room(prefix.length + rest.length, max_new_tokens)
        room = rest.length + max_new_tokens - 1
        ids: list[int] = []
        rows: list[NDArray[np.float32]] = []
        probability = 1.0
        with prefix.lend(room, counts) as cache:
            while True:
                step = self.decoder.step(rest, cache, counts)
                cache = step.cache
                rows.append(step.attention[:, map_tokens])
                token = int(step.logits.argmax())
                probability *= _probability(step.logits, token)
                if token in self._spec.eos_token_ids:
                    break
                ids.append(token)
                if on_id is not None:
                    on_id(token)
                if len(rows) == max_new_tokens:
                    break
                rest = self.embed([np.array([token], np.int64)], [], cache.next_position)
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
