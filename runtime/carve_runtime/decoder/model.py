"""The graphs of a bundle: encode an image once, then answer about it from the shared prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models import names
from carve_models.image_rules import ImageRule
from carve_models.manifest import Manifest
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.decoder.cache import Prefix
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.images.load import ImageInput, load_image
from carve_runtime.images.model_input import FEATURE, ModelInput
from carve_runtime.images.picture import Picture
from carve_runtime.images.preprocess import preprocess, require_aspect
from carve_runtime.method.geometry import RGB
from carve_runtime.prompt.budget import (
    ContextBudget,
    prompt_length,
    require_context,
    require_image_fits,
)
from carve_runtime.prompt.chunk import (
    ImageFeatures,
    PromptChunk,
    prompt_ids,
    prompt_positions,
    spread_features,
)
from carve_runtime.prompt.request import Request, RequestBuilder, Stage, Token
from carve_runtime.prompt.text import PromptPart, Text
from carve_runtime.usage import Counts, Usage


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


class Model:
    """Graphs, tokenizer and prompts of a bundle. Threads may share it."""

    def __init__(
        self, bundle: Bundle, settings: BackendSettings | None = None, *, decodes: bool = True
    ) -> None:
        """Load everything; errors as in :meth:`carve_runtime.Carve.load`.

        Args:
            bundle: the bundle.
            settings: who runs the graphs.
            decodes: load the decoder too; without it images and prompts can be encoded, no more.
        """
        settings = settings or BackendSettings()
        self.manifest: Manifest = bundle.manifest
        self.text = Text(bundle.path(names.TOKENIZER_FILE), self.manifest.decoder.control_ids)
        self.requests = RequestBuilder(self.manifest, self.text)
        self._vision = load_graph(bundle, names.VISION_ENCODER, settings)
        self._embed = load_graph(bundle, names.EMBED_TOKENS, settings.on_host())
        if decodes:
            self.decoder = Decoder(bundle, settings)
        self._dtype = np.dtype(self.manifest.dtype)

    def decode(self, image: ImageInput, usage: Usage) -> RGB:
        """Return an image as the array that masks and boxes refer to.

        Raises:
            ImageError: it cannot be read, or is too thin.
        """
        with usage.clock.stage("decode"):
            pixels = load_image(image)
            require_aspect(pixels, self.manifest.image)
        return pixels

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
        model_input = self._preprocess(image, max_pixels, usage)
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
        model_input = self._preprocess(refined, max_pixels, request.usage)
        rest = prompt_length(request.prompt.pair, len(model_input.ids))
        require_context(
            image.prefix.length + rest,
            request.settings.max_new_tokens,
            self.manifest.decoder.context_length,
        )
        with request.usage.clock.stage("vision"):
            return self.image_features(model_input, request.usage.counts)

    def image_features(self, model_input: ModelInput, counts: Counts) -> ImageFeatures:
        """Run the vision encoder."""
        spec = self.manifest.decoder
        counts.vision_runs += 1
        outputs = self._vision.run(model_input.feeds)
        tokens = outputs[names.IMAGE_FEATURES].numpy().reshape(1, -1, spec.hidden_size)
        if spec.deepstack_layers == 0:
            return ImageFeatures(model_input, tokens)
        return ImageFeatures(model_input, tokens, outputs[names.DEEPSTACK_FEATURES].numpy())

    def embed(
        self, parts: Sequence[PromptPart], images: Sequence[ImageFeatures], start: int = 0
    ) -> PromptChunk:
        """Return consecutive parts of a prompt as one chunk, image features in their places.

        Args:
            parts: token ids and indices into ``images``.
            images: every image that the parts name.
            start: the position id of the first token.
        """
        spec = self.manifest.decoder
        inputs = [image.model_input for image in images]
        used = [images[part] for part in parts if isinstance(part, int)]
        ids = prompt_ids(parts, inputs)
        embeds = np.empty((1, len(ids), spec.hidden_size), self._dtype)
        literal = ids != FEATURE
        if literal.any():
            outputs = self._embed.run({names.INPUT_IDS: ids[literal][None]})
            embeds[:, literal] = outputs[names.INPUTS_EMBEDS].numpy()
        if used:
            embeds[:, ~literal] = np.concatenate([image.tokens for image in used], axis=1)
        positions, following = prompt_positions(parts, inputs, spec.positions, start)
        deepstack = None
        if layers := spec.deepstack_layers:
            added = [image.deepstack for image in used if image.deepstack is not None]
            shape = (layers, spec.hidden_size)
            deepstack = spread_features(ids, added, shape, self._dtype)
        return PromptChunk(embeds, positions, following, deepstack)

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
    ) -> Pass:
        """Continue a prompt greedily until an end-of-sequence id or the limit.

        Args:
            image: what the prompt is about.
            prompt: what follows the image.
            stage: the name of the pass.
            request: whose usage is added to, and whose listener is told.
            refined: the second image, if the prompt names one.
            max_new_tokens: most forward steps; the request's if ``None``.

        Raises:
            PromptError: prompt and answer may need more positions than the model has.
        """
        counts, spec = request.usage.counts, self.manifest.decoder
        limit = request.settings.max_new_tokens if max_new_tokens is None else max_new_tokens
        images = [image.features] if refined is None else [image.features, refined]
        on_id, on_token = None, request.on_token
        if on_token is not None:
            on_id = self.text.streamer(lambda text: on_token(Token(stage, text)))
        with request.usage.clock.stage(stage):
            chunk = self.embed(prompt, images, image.prefix.next_position)
            require_context(image.prefix.length + chunk.length, limit, spec.context_length)
            ids: list[int] = []
            rows: list[NDArray[np.float32]] = []
            probability = 1.0
            needed = chunk.length + limit - 1
            with self.decoder.lend(image.prefix, needed, counts) as cache:
                while True:
                    step = self.decoder.step(chunk, cache, counts)
                    cache = step.cache
                    rows.append(step.attention[:, image.map_tokens])
                    token = int(step.logits.argmax())
                    probability *= _probability(step.logits, token)
                    if token in spec.eos_token_ids:
                        break
                    ids.append(token)
                    if on_id is not None:
                        on_id(token)
                    if len(rows) == limit:
                        break
                    chunk = self.embed([np.array([token], np.int64)], [], cache.next_position)
            return Pass(tuple(ids), np.stack(rows), probability)

    def _preprocess(self, image: RGB | Picture, max_pixels: int | None, usage: Usage) -> ModelInput:
        rule: ImageRule = self.manifest.image
        with usage.clock.stage("preprocess"):
            return preprocess(image, rule if max_pixels is None else rule.within(max_pixels))


def _probability(logits: NDArray[np.float32], token: int) -> float:
    """Return the softmax of (V,) logits at one token."""
    return float(1 / np.exp(logits - logits[token]).sum(dtype=np.float64))
