"""What a model family is: a declaration that the exporter and the runtime read, no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

#: How position ids grow along a prompt. ``sequential``: by one a token. ``mrope``: three axes
#: (time, row, column); an image's tokens stand at their place in its grid (Qwen2-VL).
Positions = Literal["sequential", "mrope"]

#: What a vision encoder takes as ``pixel_values``. ``pictures``: (B, 3, h, w). ``patches``: one
#: image's patches, packed into a row.
PixelLayout = Literal["pictures", "patches"]


@dataclass(frozen=True, kw_only=True)
class Modules:
    """Dotted attribute paths of the parts of the Hugging Face model.

    Attributes:
        text_model: the decoder without its head.
        embed_tokens: token embedding.
        lm_head: hidden states to logits.
        vision_tower: the vision encoder.
        projector: its states to image tokens; ``None`` if the tower does that itself.
    """

    text_model: str
    embed_tokens: str
    lm_head: str
    vision_tower: str
    projector: str | None = None


@dataclass(frozen=True, kw_only=True)
class TowerFeatures:
    """Image tokens are hidden states of a tower over pictures, projected.

    Attributes:
        pixels: what the tower takes.
        deepstack: none of its layers' features reach the decoder directly.
        layer: configuration field with the index (or indices) of the hidden state; ``None``
            takes the tower's output.
        output_at_last: whether index -1 means the tower's output, final norm included.
        strategy: configuration field with the selection strategy, or ``None``.
        drop_first: the strategy's value that drops the leading class token.
        shuffle: configuration field with the ratio of a pixel shuffle before the projector, which
            puts neighbouring states side by side; ``None`` if the projector does that itself.
    """

    pixels: ClassVar[PixelLayout] = "pictures"
    deepstack: ClassVar[None] = None

    layer: str | None = None
    output_at_last: bool = False
    strategy: str | None = None
    drop_first: str = "default"
    shuffle: str | None = None


@dataclass(frozen=True, kw_only=True)
class PatchFeatures:
    """Image tokens are the output of a tower over the packed patches of one image.

    The layout of the patches (rotary positions, windows, interpolated positions) is computed by the
    runtime and is an input of the graph.

    Attributes:
        pixels: what the tower takes.
        deepstack: field of ``vision_config`` with the layers whose features the decoder adds to
            its first layers' states (DeepStack, arXiv 2406.04334), or ``None``.
    """

    pixels: ClassVar[PixelLayout] = "patches"

    deepstack: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageDeclaration:
    """What a family declares of its image processor; one child for each kind of image rule.

    Attributes:
        pixels: what the images become; :class:`Family` requires that its encoder takes them.
        nested: whether the Hugging Face model takes ``pixel_values`` as (B, views, 3, h, w).
        grid_argument: the Hugging Face model's argument with (time, rows, columns) of each image's
            patches, or ``None``.
    """

    pixels: ClassVar[PixelLayout] = "pictures"
    nested: bool = False
    grid_argument: str | None = None

    @property
    def vision_fields(self) -> tuple[str | None, ...]:
        """Fields of ``vision_config`` that the declaration refers to, or ``None`` for each."""
        return ()


@dataclass(frozen=True, kw_only=True)
class FixedImages(ImageDeclaration):
    """Every image is brought to one size.

    Attributes:
        square_padding_processors: image processors whose ``do_pad`` pads to a square.
    """

    square_padding_processors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NativeImages(ImageDeclaration):
    """Images keep their aspect ratio and become packed patches.

    Attributes:
        max_tokens: most tokens of one image, unless the export is told otherwise; the image
            processor's own limit if that is lower.
        window_size: field of ``vision_config`` with the side in pixels of an attention window, or
            ``None``.
        position_table: field of ``vision_config`` with the length of the square position table
            that is interpolated, or ``None``.
    """

    pixels: ClassVar[PixelLayout] = "patches"
    grid_argument: str | None = "image_grid_thw"
    max_tokens: int
    window_size: str | None = None
    position_table: str | None = None

    @property
    def vision_fields(self) -> tuple[str | None, ...]:
        """The fields of windows and of the position table."""
        return self.window_size, self.position_table


@dataclass(frozen=True, kw_only=True)
class TileTexts:
    """What a prompt says around the views of one image; the tags of ``TileMarkup`` as text.

    ``{row}`` and ``{column}`` in ``tile`` count from 1.
    """

    begin: str = ""
    tile: str = ""
    row_end: str = ""
    global_view: str = ""
    alone: str = ""
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class TiledImages(ImageDeclaration):
    """Images are split into tiles, followed by a view of the whole.

    The tokens of the tiles, put together, form the attention map; those of the only view do if an
    image is not split.

    Attributes:
        split: the rule, as in :class:`carve_models.image_rules.TiledImage`.
        shrink: configuration field with the ratio of patches to tokens along a side; a value
            below 1 is its inverse.
        texts: what stands around the views.
        switch: field of the image processor that turns splitting on; ``None`` if it always is.
    """

    split: Literal["longest_edge", "closest_aspect"]
    shrink: str
    texts: TileTexts = field(default_factory=TileTexts)
    switch: str | None = None


#: Numbers of Pillow's filters.
LANCZOS, BICUBIC = 1, 3
#: Mean and deviation of colours that processors subtract and divide by.
CLIP_COLORS: Mapping[str, Any] = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF_COLORS: Mapping[str, Any] = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@dataclass(frozen=True, kw_only=True)
class ClipTexts:
    """What a prompt says of a clip; the parts of ``ClipMarkup`` as text, ``<image>`` a moment."""

    moment: str
    begin: str = ""
    between: str = ""
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class VideoDeclaration:
    """What a family declares of its video processor.

    Attributes:
        model_types: ``model_type`` values of ``config.json`` that take clips.
        sampling: which frames are seen, a tag of :mod:`carve_models.video_rules.sampling`.
        max_frames: most frames, where the checkpoint names none.
        fps: frames a second, where the checkpoint names none.
        fields: what the class of the video processor says where the checkpoint's files do not.
        needs_file: whether only checkpoints with a ``video_preprocessor_config.json`` take clips;
            of families whose Hugging Face processor takes none. That file is what a checkpoint says
            that its model was trained on frames.
        texts: what stands for a clip in a prompt.
        token: what stands for a clip in the chat template.
        layout: the prompt, with ``<video>`` and ``{text}``; ``None`` takes the chat template.
        limits: whether the processor's limits of pixels are those of a frame or of a whole clip.
        seconds: field of ``vision_config`` with the positions of a second on the time axis, where
            all moments are one block of the prompt, or ``None``.
    """

    model_types: tuple[str, ...]
    sampling: str
    max_frames: int
    fps: float = 2.0
    fields: Mapping[str, Any] = field(default_factory=dict)
    needs_file: bool = False
    texts: ClipTexts
    token: str
    layout: str | None = None
    limits: Literal["frame", "clip"] = "frame"
    seconds: str | None = None


@dataclass(frozen=True, kw_only=True)
class PromptLayout:
    """Prompts as text: ``<image>`` stands for an image's tokens, ``{text}`` for the question.

    Attributes:
        single: layout for one image; ``None`` takes the checkpoint's chat template, with the
            image before the text.
        pair: layout for the original and the refined image; ``None`` as for ``single``.
        suffix: appended to every question and to the general instruction.
        general: the general instruction ``G``.
    """

    single: str | None = None
    pair: str | None = None
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
        image_token: configuration field with the image token's id.
        modules: where the parts of the Hugging Face model are.
        features: how the vision encoder's image tokens arise.
        images: what the image processor does.
        positions: how position ids grow.
        prompts: the prompts.
        layers: the default layers.
        video: what the video processor does; ``None`` if there is none.
    """

    name: str
    title: str
    architectures: tuple[str, ...]
    vision_models: tuple[str, ...]
    image_token: str = "image_token_id"
    modules: Modules
    features: TowerFeatures | PatchFeatures
    images: ImageDeclaration
    positions: Positions = "sequential"
    prompts: PromptLayout
    layers: LayerRule
    video: VideoDeclaration | None = None

    def __post_init__(self) -> None:
        if self.features.pixels != self.images.pixels:
            raise ValueError(
                f"the images of {self.name} become {self.images.pixels}, its vision encoder takes "
                f"{self.features.pixels}"
            )

    @property
    def vision_fields(self) -> tuple[str, ...]:
        """Fields of ``vision_config`` that the declaration refers to."""
        named = self.features.deepstack, *self.images.vision_fields
        return tuple(field for field in named if field is not None)
