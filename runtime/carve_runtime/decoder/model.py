"""The graphs of a bundle: encode images once, then answer about them from the shared prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.decoder import Decoder, Step
from carve_runtime.decoder.embedder import Embedder
from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.generation import Generation, Pass
from carve_runtime.images.load import MAX_IMAGE_PIXELS
from carve_runtime.images.picture import Picture
from carve_runtime.method.geometry import RGB
from carve_runtime.prompt.budget import (
    ContextBudget,
    fits_context,
    prompt_length,
    require_context,
    require_images_fit,
)
from carve_runtime.prompt.chunk import (
    ImageFeatures,
    PromptChunk,
    prompt_ids,
)
from carve_runtime.prompt.request import Request, Stage, Token
from carve_runtime.prompt.text import PromptPart
from carve_runtime.usage import Usage


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

    def encode_images(
        self,
        images: Sequence[RGB | Picture],
        budget: ContextBudget,
        usage: Usage,
        *,
        lower: bool = False,
        max_pixels: int | None = None,
    ) -> EncodedImages:
        """Encode images and run the prefix that all prompts about them share.

        Args:
            images: at least one, (H, W, 3) uint8, or pictures that need not exist in full.
            budget: what the question behind them needs.
            usage: is added to.
            lower: run the lower half of the decoder only, for now.
            max_pixels: most pixels that the model sees of each; its own limit if ``None``.

        Raises:
            PromptError: the images, or the question behind them, take more positions than the model
                has; no graph has run then.
        """
        count, limit = len(images), self.manifest.decoder.context_length
        parts = self.requests.prefix(count)
        model_inputs = [self.preprocess(image, max_pixels, usage) for image in images]
        length = len(prompt_ids(parts, model_inputs))
        require_images_fit(length, limit, count)
        require_context(length + budget.prompt, budget.new_tokens, limit, count)
        with usage.clock.stage("vision"):
            features = list(map(self.image_features, model_inputs, repeat(usage.counts)))
        with usage.clock.stage("prefix"):
            beginning = self.embed(parts, features)
            cache = self.decoder.empty(beginning.length + budget.reserve)
            decoder_parts = self.decoder.lower if lower else None
            step = self.decoder.step(beginning, cache, usage.counts, parts=decoder_parts)
        return EncodedImages.after(parts, features, beginning, step)

    def encode_refined(
        self,
        images: EncodedImages,
        refined: Sequence[RGB | Picture],
        request: Request,
        max_pixels: int | None = None,
    ) -> list[ImageFeatures]:
        """Encode the images that follow in the final prompt; it must fit, with all of them.

        Args:
            images: the originals.
            refined: (h, w, 3) uint8, or pictures that need not exist in full.
            request: the question about all of them.
            max_pixels: most pixels that the model sees of each; its own limit if ``None``.

        Raises:
            PromptError: the prompt takes more positions than the model has.
        """
        model_inputs = [self.preprocess(each, max_pixels, request.usage) for each in refined]
        parts = request.prompt.behind(images.count, len(refined))
        require_context(
            images.prefix.length + len(prompt_ids(parts, [*images.model_inputs, *model_inputs])),
            request.settings.max_new_tokens,
            self.manifest.decoder.context_length,
            images.count,
        )
        with request.usage.clock.stage("vision"):
            return list(map(self.image_features, model_inputs, repeat(request.usage.counts)))

    def attend(
        self, images: EncodedImages, prompt: Sequence[PromptPart], stage: Stage, request: Request
    ) -> NDArray[np.float32]:
        """Return one step's attention, (1, L, N), from the lower half of the decoder alone.

        Args:
            images: what the prompt is about.
            prompt: what follows them.
            stage: the name of the pass.
            request: whose usage is added to.
        """
        with request.usage.clock.stage(stage):
            counts = request.usage.counts
            chunk = self.embed(prompt, [], images.prefix.next_position)
            with self.decoder.lend(images.prefix, chunk.length, counts, lower=True) as cache:
                step = self.decoder.step(chunk, cache, counts, parts=self.decoder.lower)
            return step.attention[None, :, images.map_tokens]

    def answer(
        self,
        images: EncodedImages,
        prompt: Sequence[PromptPart],
        stage: Stage,
        request: Request,
        *,
        refined: Sequence[ImageFeatures] = (),
        max_new_tokens: int | None = None,
        on_step: Callable[[NDArray[np.float32], int], None] | None = None,
    ) -> Pass:
        """Continue a prompt greedily until an end-of-sequence id or the limit.

        Args:
            images: what the prompt is about.
            prompt: what follows them.
            stage: the name of the pass.
            request: whose usage is added to, and whose listener is told.
            refined: the images that the prompt names behind those of the prefix.
            max_new_tokens: most forward steps; the request's if ``None``.
            on_step: is told of each step's attention to all positions, (L, T) or (L, H, T) as the
                bundle has it, and of the likeliest token.

        Raises:
            PromptError: prompt and answer may need more positions than the model has.
        """
        counts = request.usage.counts
        limit = request.settings.max_new_tokens if max_new_tokens is None else max_new_tokens
        with request.usage.clock.stage(stage):
            shown = [*images.features, *refined]
            chunk = self.embed(prompt, shown, images.prefix.next_position)
            self._require_room(images, chunk, limit)
            answer = self._generation(images, stage, request, limit)
            with self.decoder.lend(images.prefix, chunk.length + limit - 1, counts) as cache:
                step = self.decoder.step(chunk, cache, counts)
                while _goes_on(answer, step, on_step):
                    chunk = self.embed([answer.last_id], [], step.cache.next_position)
                    step = self.decoder.step(chunk, step.cache, counts)
            return answer.result()

    def can_answer_both(self, images: EncodedImages, request: Request) -> bool:
        """Return whether question and general pass cost one if they go on together, and fit.

        One after the other the general pass ends where the question's has, and may need less room.
        """
        general = request.general[0].prompt.behind(images.count)
        prompt = images.prefix.length + prompt_length(general, 0)
        limit, positions = request.settings.max_new_tokens, self.manifest.decoder.context_length
        return self.decoder.runs_side_by_side and fits_context(prompt, limit, positions)

    def answer_both(
        self,
        images: EncodedImages,
        question: Sequence[PromptPart],
        general: Sequence[PromptPart],
        request: Request,
    ) -> tuple[Pass, Pass]:
        """Continue two prompts together, the second no longer than the first.

        The tokens of both count as the question's. The listener hears of the question's first, as
        if one pass had followed the other.

        Args:
            images: what both are about.
            question: of the pass that decides how long both are.
            general: of the other one.
            request: whose usage is added to, and whose listener is told.

        Raises:
            PromptError: the question and its answer may need more positions than the model has.
        """
        usage, limit = request.usage, request.settings.max_new_tokens
        with usage.clock.stage("question"):
            following = images.prefix.next_position
            chunks = [self.embed(prompt, [], following) for prompt in (question, general)]
            self._require_room(images, chunks[0], limit)
            answer = self._generation(images, "question", request, limit)
            other = self._generation(images, "general", request, limit, deferred=True)
            passes = answer, other
            most = max(chunk.length for chunk in chunks) + limit - 1
            steps = self.decoder.side_by_side(images.prefix, chunks, most, usage.counts)
            while _take_all(passes, steps)[0]:
                caches = [step.cache for step in steps]
                chunks = [
                    self.embed([each.last_id], [], cache.next_position)
                    for each, cache in zip(passes, caches, strict=True)
                ]
                steps = self.decoder.step_side_by_side(chunks, caches, usage.counts)
            other.tell()
        return answer.result(), other.result()

    def _require_room(self, images: EncodedImages, chunk: PromptChunk, limit: int) -> None:
        length = images.prefix.length + chunk.length
        require_context(length, limit, self.manifest.decoder.context_length, images.count)

    def _generation(
        self,
        images: EncodedImages,
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
        return Generation(images.map_tokens, limit, eos, streamer, deferred=deferred)


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
