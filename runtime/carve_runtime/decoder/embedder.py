"""Pictures and text to embeddings: what of a bundle comes before the decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from carve_models import names
from carve_models.image_rules import ImageRule
from carve_models.interface import FEATURE
from carve_models.manifest import Manifest
from carve_models.settings import require_count
from carve_runtime.backends import load_graph
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.images.load import MAX_IMAGE_PIXELS, ImageInput, load_image
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.picture import Picture
from carve_runtime.images.preprocess import preprocess
from carve_runtime.method.geometry import RGB
from carve_runtime.prompt.chunk import (
    ImageFeatures,
    PromptChunk,
    prompt_ids,
    prompt_positions,
    spread_features,
)
from carve_runtime.prompt.request import RequestBuilder
from carve_runtime.prompt.text import PromptPart, Text
from carve_runtime.usage import Counts, Usage


class Embedder:
    """Vision encoder, token embedding, tokenizer and prompts of a bundle. Threads may share it."""

    def __init__(
        self,
        bundle: Bundle,
        settings: BackendSettings,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ) -> None:
        """Load the two graphs; arguments and errors as in :meth:`carve_runtime.Carve.load`."""
        require_count("max_image_pixels", max_image_pixels, most=math.inf)
        self.max_image_pixels = max_image_pixels
        self.manifest: Manifest = bundle.manifest
        self.text = Text(bundle.path(names.TOKENIZER_FILE), self.manifest.decoder.control_ids)
        self.requests = RequestBuilder(self.manifest, self.text)
        self._vision = load_graph(bundle, names.VISION_ENCODER, settings)
        self._embed = load_graph(bundle, names.EMBED_TOKENS, settings.on_host())
        self._dtype = np.dtype(self.manifest.dtype)

    def decode(self, image: ImageInput, usage: Usage) -> RGB:
        """Return an image as the array that masks and boxes refer to.

        Raises:
            ImageError: it cannot be read, is too large or too thin.
        """
        with usage.clock.stage("decode"):
            return load_image(
                image,
                max_image_pixels=self.max_image_pixels,
                max_aspect_ratio=self.manifest.image.max_aspect_ratio,
            )

    def preprocess(self, image: RGB | Picture, max_pixels: int | None, usage: Usage) -> ModelInput:
        """Return what the vision encoder takes of a picture, in at most so many pixels."""
        rule: ImageRule = self.manifest.image
        with usage.clock.stage("preprocess"):
            return preprocess(image, rule if max_pixels is None else rule.within(max_pixels))

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
