"""The graphs of a bundle: encode an image once, then answer about it from the shared prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.cache import Prefix
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.decoder.embedder import Embedder
from carve_runtime.decoder.generation import Generation, Pass
from carve_runtime.images.load import MAX_IMAGE_PIXELS
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.picture import Picture
from carve_runtime.method.geometry import RGB
from carve_runtime.prompt.budget import (
    ContextBudget,
    fits_context,
    prompt_length,
    require_context,
    require_image_fits,
)
from carve_runtime.prompt.chunk import (
    ImageFeatures,
    PromptChunk,
)
from carve_runtime.prompt.request import Request, Stage, Token
from carve_runtime.prompt.text import PromptPart
from carve_runtime.usage import Usage


@dataclass(frozen=True)
class EncodedImage:
    """One image as the model holds it.

    Attributes:
        features: the image tokens, with the grid and the window of their map.
        prefix: the cache of the prompt up to and including the image.
    """

    features: ImageFeatures
    prefix: Prefix

    @property
    def model_input(self) -> ModelInput:
        """What the vision encoder saw."""
        return self.features.model_input

    @property
    def map_tokens(self) -> NDArray[np.int64]:
        """(N,), where the tokens of the map stand: the image is the end of the prefix."""
        start = self.prefix.length - len(self.model_input.ids)
        return start + self.model_input.map_tokens

    @property
    def nbytes(self) -> int:
        """Bytes held, unused positions of the cache included."""
        return self.features.nbytes + self.prefix.nbytes


class Model(Embedder):
    """Graphs, tokenizer and prompts of a bundle. Threads may share it."""

    def __init__(
        self,
        bundle: Bundle,
        settings: BackendSettings | None = None,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ) -> None:
        """Load everything; arguments and errors as in :meth:`carve_runtime.Carve.load`."""
        settings = settings or BackendSettings()
        super().__init__(bundle, settings, max_image_pixels)
        self.decoder = Decoder(bundle, settings)

    def encode_image(
        self,
        image: RGB | Picture,
        budget: ContextBudget,
        usage: Usage,
        *,
        lower: bool = False,
        max_pixels: int | None = None,
    ) -> EncodedImage:
        """Encode an image and run the prefix that all prompts about it share.

        Args:
            image: (H, W, 3) uint8, or a picture that need not exist in full.
            budget: what the question behind it needs.
            usage: is added to.
            lower: run the lower half of the decoder only, for now.
            max_pixels: most pixels that the model sees of it; its own limit if ``None``.

        Raises:
            PromptError: the image, or the question behind it, takes more positions than the model
                has; no graph has run then.
        """
        model_input = self.preprocess(image, max_pixels, usage)
        prefix_parts, limit = self.requests.prefix, self.manifest.decoder.context_length
        length = prompt_length(prefix_parts, len(model_input.ids))
        require_image_fits(length, limit)
        require_context(length + budget.prompt, budget.new_tokens, limit)
        with usage.clock.stage("vision"):
            features = self.image_features(model_input, usage.counts)
        with usage.clock.stage("prefix"):
            beginning = self.embed(prefix_parts, [features])
            cache = self.decoder.empty(beginning.length + budget.reserve)
            parts = self.decoder.lower if lower else None
            step = self.decoder.step(beginning, cache, usage.counts, parts=parts)
        prefix = Prefix(step.cache, step.states, beginning.positions)
        return EncodedImage(features, prefix)

    def encode_refined(
        self,
        image: EncodedImage,
        refined: RGB | Picture,
        request: Request,
        max_pixels: int | None = None,
    ) -> ImageFeatures:
        """Encode the second image of the pair; where both are, the prompt must fit.

        Args:
            image: the original.
            refined: (h, w, 3) uint8, or a picture that need not exist in full.
            request: the question about both.
            max_pixels: most pixels that the model sees of the second; its own limit if ``None``.

        Raises:
            PromptError: the prompt takes more positions than the model has.
        """
        model_input = self.preprocess(refined, max_pixels, request.usage)
        rest = prompt_length(request.prompt.pair, len(model_input.ids))
        require_context(
            image.prefix.length + rest,
            request.settings.max_new_tokens,
            self.manifest.decoder.context_length,
        )
        with request.usage.clock.stage("vision"):
            return self.image_features(model_input, request.usage.counts)

    def attend(
        self, image: EncodedImage, prompt: Sequence[PromptPart], stage: Stage, request: Request
    ) -> NDArray[np.float32]:
        """Return one step's attention, (1, L, N), from the lower half of the decoder alone.

        Args:
            image: what the prompt is about.
            prompt: what follows the image.
            stage: the name of the pass.
            request: whose usage is added to.
        """
        with request.usage.clock.stage(stage):
            chunk, counts = self.embed(prompt, [], image.prefix.next_position), request.usage.counts
            with self.decoder.lend(image.prefix, chunk.length, counts, lower=True) as cache:
                step = self.decoder.step(chunk, cache, counts, parts=self.decoder.lower)
            return step.attention[None, :, image.map_tokens]

    def answer(
        self,
        image: EncodedImage,
        prompt: Sequence[PromptPart],
        stage: Stage,
        request: Request,
        *,
        refined: ImageFeatures | None = None,
        max_new_tokens: int | None = None,
        on_step: Callable[[NDArray[np.float32], int], None] | None = None,
    ) -> Pass:
        """Continue a prompt greedily until an end-of-sequence id or the limit.

        Args:
            image: what the prompt is about.
            prompt: what follows the image.
            stage: the name of the pass.
            request: whose usage is added to, and whose listener is told.
            refined: the second image, if the prompt names one.
            max_new_tokens: most forward steps; the request's if ``None``.
            on_step: is told of each step's attention to all positions, (L, T) or (L, H, T) as the
                bundle has it, and of the likeliest token.

        Raises:
            PromptError: prompt and answer may need more positions than the model has.
        """
        counts = request.usage.counts
        limit = request.settings.max_new_tokens if max_new_tokens is None else max_new_tokens
        images = [image.features] if refined is None else [image.features, refined]
        with request.usage.clock.stage(stage):
            chunk = self.embed(prompt, images, image.prefix.next_position)
            self._require_room(image, chunk, limit)
            answer = self._generation(image, stage, request, limit)
            with self.decoder.lend(image.prefix, chunk.length + limit - 1, counts) as cache:
                step = self.decoder.step(chunk, cache, counts)
                while _goes_on(answer, step, on_step):
                    chunk = self.embed([answer.last_id], [], step.cache.next_position)
                    step = self.decoder.step(chunk, step.cache, counts)
            return answer.result()

    def can_answer_both(self, image: EncodedImage, request: Request) -> bool:
        """Return whether question and general pass cost one if they go on together, and fit.

        One after the other the general pass ends where the question's has, and may need less room.
        """
        prompt = image.prefix.length + prompt_length(self.requests.general.single, 0)
        limit, positions = request.settings.max_new_tokens, self.manifest.decoder.context_length
        return self.decoder.runs_side_by_side and fits_context(prompt, limit, positions)

    def answer_both(
        self,
        image: EncodedImage,
        question: Sequence[PromptPart],
        general: Sequence[PromptPart],
        request: Request,
    ) -> tuple[Pass, Pass]:
        """Continue two prompts together, the second no longer than the first.

        The tokens of both count as the question's. The listener hears of the question's first, as
        if one pass had followed the other.

        Args:
            image: what both are about.
            question: of the pass that decides how long both are.
            general: of the other one.
            request: whose usage is added to, and whose listener is told.

        Raises:
            PromptError: the question and its answer may need more positions than the model has.
        """
        usage, limit = request.usage, request.settings.max_new_tokens
        with usage.clock.stage("question"):
            following = image.prefix.next_position
            chunks = [self.embed(prompt, [], following) for prompt in (question, general)]
            self._require_room(image, chunks[0], limit)
            answer = self._generation(image, "question", request, limit)
            other = self._generation(image, "general", request, limit, deferred=True)
            passes = answer, other
            most = max(chunk.length for chunk in chunks) + limit - 1
            steps = self.decoder.side_by_side(image.prefix, chunks, most, usage.counts)
            while _take_all(passes, steps)[0]:
                caches = [step.cache for step in steps]
                chunks = [
                    self.embed([each.last_id], [], cache.next_position)
                    for each, cache in zip(passes, caches, strict=True)
                ]
                steps = self.decoder.step_side_by_side(chunks, caches, usage.counts)
            other.tell()
        return answer.result(), other.result()

    def _require_room(self, image: EncodedImage, chunk: PromptChunk, limit: int) -> None:
        length = image.prefix.length + chunk.length
        require_context(length, limit, self.manifest.decoder.context_length)

    def _generation(
        self,
        image: EncodedImage,
        stage: Stage,
        request: Request,
        limit: int,
        *,
        deferred: bool = False,
    ) -> Generation:
        streamer, on_token = None, request.on_token
        if on_token is not None:
            streamer = self.text.streamer(lambda text: on_token(Token(stage, text)))
        eos = self.manifest.decoder.eos_token_ids
        return Generation(image.map_tokens, limit, eos, streamer, deferred=deferred)


def _goes_on(
    answer: Generation,
    step: Step,
    on_step: Callable[[NDArray[np.float32], int], None] | None,
) -> bool:
    """Give a pass its step, tell who listens, and return whether it goes on."""
    goes_on = answer.take(step.logits, step.attention)
    if on_step is not None:
        on_step(step.rows, int(answer.last_id[0]))
    return goes_on


def _take_all(passes: Sequence[Generation], steps: Sequence[Step]) -> list[bool]:
    """Give each pass its step; return which of them go on."""
    pairs = zip(passes, steps, strict=True)
    return [each.take(step.logits, step.attention) for each, step in pairs]
