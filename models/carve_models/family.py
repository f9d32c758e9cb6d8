"""What a model family is: a declaration that the exporter and the runtime read, no code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Modules:
    """Dotted attribute paths of the parts of the Hugging Face model."""

    text_model: str
    embed_tokens: str
    lm_head: str
    vision_tower: str
    projector: str


@dataclass(frozen=True, kw_only=True)
class VisionFeatures:
    """Where the configuration says which hidden states of the tower become image tokens.

    Attributes:
        layer: configuration field with the index (or indices) of the hidden state.
        strategy: configuration field with the selection strategy.
        drop_first: the strategy's value that drops the leading class token.
    """

    layer: str
    strategy: str
    drop_first: str


@dataclass(frozen=True, kw_only=True)
class PromptLayout:
    """Prompts as text: ``<image>`` stands for an image's tokens, ``{text}`` for the question.

    Attributes:
        single: layout for one image.
        pair: layout for the original and the refined image.
        suffix: appended to every question and to the general instruction.
        general: the general instruction ``G``.
    """

    single: str
    pair: str
    suffix: str = "Answer the question using a single word or phrase."
    general: str = "Write a general description of the image."


@dataclass(frozen=True, kw_only=True)
class LayerRule:
    """Default layers ``first..last`` inclusive, as found best on models of ``depth`` layers."""

    first: int
    last: int
    depth: int

    def layers(self, depth: int) -> tuple[int, ...]:
        """Return the published layers where a model has them, else the same share of its depth."""
        if depth > self.last:
            return tuple(range(self.first, self.last + 1))
        start = self.first * depth // self.depth
        stop = max(start + 1, (self.last + 1) * depth // self.depth)
        return tuple(range(start, stop))


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of vision-language models.

    Attributes:
        name: the key used in manifests.
        title: the name that people use.
        architectures: ``architectures[0]`` values of ``config.json`` that belong here.
        vision_models: ``vision_config.model_type`` values whose token layout is known.
        square_padding_processors: image processors whose ``do_pad`` pads to a square.
        image_token: configuration field with the image token's id.
    """

    name: str
    title: str
    architectures: tuple[str, ...]
    vision_models: tuple[str, ...]
    square_padding_processors: tuple[str, ...] = ()
    image_token: str
    modules: Modules
    features: VisionFeatures
    prompts: PromptLayout
    layers: LayerRule
