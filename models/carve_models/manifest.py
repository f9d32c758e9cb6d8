"""``carve.json``: everything that a consumer of a bundle needs to know, resolved at export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from carve_models.decoder_parts import DecoderPart
from carve_models.errors import BundleError, SchemaError, SettingsError
from carve_models.families.family import Positions
from carve_models.folder import FileEntry, FolderKind
from carve_models.graph_spec import Dtype, GraphSpec
from carve_models.image_rules import Count, ImageRule, Index
from carve_models.names import DECODER, MANIFEST_FILE, MROPE_AXES
from carve_models.prompts.segment import Segment
from carve_models.settings import Settings
from carve_models.video_rules.rule import VideoRule

SCHEMA_VERSION = 2

#: First and last ONNX operator set that bundles are made in.
OPSETS = (18, 23)

Profile = Literal["ort", "portable"]

#: What matrices are stored as where a bundle computes in float32: graphs widen them where they use
#: them. It saves memory on CPUs; for a GPU, choose the dtype.
Weights = Literal["float32", "float16", "bfloat16"]

#: What the decoder's attention rows are: the mean over heads, or each head's.
AttentionRows = Literal["mean", "heads"]


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Prompts resolved to segments, and the two fixed sentences."""

    single: tuple[Segment, ...]
    pair: tuple[Segment, ...]
    suffix: str
    general: str

    def __post_init__(self) -> None:
        for name, segments, images in (("single", self.single, [0]), ("pair", self.pair, [0, 1])):
            shown = [segment.image for segment in segments if segment.image is not None]
            texts = [segment for segment in segments if segment.text is not None]
            if shown != images or len(texts) != 1 or "{text}" not in str(texts[0].text):
                raise ValueError(f"the prompt {name!r} needs images {images} and {{text}} once")
        self.shared_prefix()

    def shared_prefix(self) -> tuple[Segment, ...]:
        """Return the literal segments that both prompts start with, through the first image.

        What they put into the cache depends on the image alone, so all passes can build on it.

        Raises:
            ValueError: the prompts do not start alike, through an image.
        """
        prefix: list[Segment] = []
        for single, pair in zip(self.single, self.pair, strict=False):
            if single != pair or single.text is not None:
                break
            prefix.append(single)
            if single.image is not None:
                return tuple(prefix)
        raise ValueError("the prompts do not start alike, with the image before the question")

    def between_images(self) -> tuple[Segment, ...]:
        """Return what stands between the pair's images, and between those of longer prompts.

        Raises:
            ValueError: the question does, so that there is no saying what longer prompts are.
        """
        first, second = (self._place(image) for image in (0, 1))
        between = self.pair[first + 1 : second]
        if any(segment.text is not None for segment in between):
            raise ValueError("the question stands between the two images")
        return between

    def _place(self, image: int) -> int:
        """Return where an image stands in the pair."""
        return [segment.image for segment in self.pair].index(image)


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """Facts about the text model.

    Attributes:
        layers: depth.
        attention_heads: query heads ``Hq``.
        key_value_heads: cached heads ``Kv``.
        head_dim: ``D``.
        hidden_size: width of ``inputs_embeds``.
        vocab_size: length of ``logits``.
        context_length: most positions that the model was made for.
        tapped_layers: layers whose last attention row the graph returns, in its order.
        attention: whether such a row is the mean over heads, or there is one for each head.
        exit_layers: layers of the lower half where the decoder is split, see
            :attr:`parts`; ``None`` if it is not.
        image_token_id: the id that stands for an image token in Hugging Face prompts.
        eos_token_ids: ids that end an answer.
        positions: how position ids grow along a prompt.
        deepstack_layers: layers to whose states features of the image are added; all of them in
            the lower half.
    """

    layers: Count
    attention_heads: Count
    key_value_heads: Count
    head_dim: Count
    hidden_size: Count
    vocab_size: Count
    context_length: Count
    tapped_layers: tuple[Index, ...]
    image_token_id: Index
    eos_token_ids: tuple[Index, ...]
    attention: AttentionRows = "mean"
    exit_layers: Count | None = None
    positions: Positions = "sequential"
    deepstack_layers: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0

    def __post_init__(self) -> None:
        if sorted(set(self.tapped_layers)) != list(self.tapped_layers) or not self.tapped_layers:
            raise ValueError(f"tapped layers {self.tapped_layers} are not distinct and in order")
        if self.tapped_layers[-1] >= self.layers:
            raise ValueError(f"there is no layer {self.tapped_layers[-1]} to tap")
        if not self.eos_token_ids:
            raise ValueError("no end-of-sequence id")
        exit_layers = self.exit_layers
        if exit_layers is not None and not self.tapped_layers[0] < exit_layers < self.layers:
            raise ValueError(f"the decoder cannot be split after {self.exit_layers} layers")
        if self.deepstack_layers > (exit_layers or self.layers):
            raise ValueError(f"{self.deepstack_layers} layers take features of the image")

    @property
    def whole(self) -> DecoderPart:
        """The decoder as one graph, which every bundle has."""
        return DecoderPart(DECODER, range(self.layers), self.tapped_layers)

    @property
    def parts(self) -> tuple[DecoderPart, ...]:
        """The graphs to run one after the other: the two halves if there are, or the whole."""
        return (self.whole,) if self.exit_layers is None else self.whole.split(self.exit_layers)

    @property
    def position_axes(self) -> tuple[int, ...]:
        """Leading sizes of ``position_ids``, before batch and sequence."""
        return (MROPE_AXES,) if self.positions == "mrope" else ()

    @property
    def tap(self) -> str:
        """What attention the graph returns, in words."""
        kind = {"mean": "the mean over heads", "heads": f"each of {self.attention_heads} heads"}
        return f"layers {', '.join(map(str, self.tapped_layers))}, {kind[self.attention]}"

    @property
    def head_axes(self) -> tuple[int, ...]:
        """Sizes of the attention rows between layers and positions."""
        return (self.attention_heads,) if self.attention == "heads" else ()

    def rows(self, layers: Sequence[int]) -> list[int]:
        """Return the rows of the tap that hold the given layers.

        Raises:
            SettingsError: a layer that is not tapped.
        """
        tapped = self.tapped_layers
        for layer in layers:
            if layer not in tapped:
                raise SettingsError(
                    f"this bundle does not expose layer {layer} of its {self.layers} layers",
                    f"choose from {', '.join(map(str, tapped))}, "
                    "or export the checkpoint with other --layers",
                )
        return [tapped.index(layer) for layer in layers]

    @property
    def control_ids(self) -> tuple[int, ...]:
        """Ids that no text may produce, whatever the tokenizer says of them."""
        return (self.image_token_id, *self.eos_token_ids)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How a bundle in lower precision compares with its source, the bundle that it was made from.

    Attributes:
        precision: of the components that are not as in the source.
        questions: that both were asked.
        plain_agreement: share of equal plain answers.
        answer_agreement: share of equal answers through CARVE.
        mask_overlap: intersection over union of the masks, mean.
        least_mask_overlap: the same, of the worst question.
        size: bytes of the graphs, relative to the source's.
        right: share of right answers through CARVE, of the questions whose answer was given.
        usual_right: the same of the source.
        pointing: share of questions whose strongest token is on the object asked for, of those
            whose object was given.
        usual_pointing: the same of the source.
    """

    precision: dict[str, str]
    questions: Count
    plain_agreement: float
    answer_agreement: float
    mask_overlap: float
    least_mask_overlap: float
    size: float
    right: float | None = None
    usual_right: float | None = None
    pointing: float | None = None
    usual_pointing: float | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The whole of ``carve.json``.

    Attributes:
        weights: what matrices are stored as, in a bundle that computes in float32.
        dtype: what it computes in; logits and attention rows are float32 in any case.
        lowered: the precision of each component that was lowered.
        quality: of a bundle in lower precision, if it was measured.
        video: what clips become; ``None`` if the checkpoint takes none, or the bundle is older.
    """

    family: str
    profile: Profile
    weights: Weights = "float32"
    dtype: Dtype = "float32"
    opset: int
    source: str
    graphs: dict[str, GraphSpec]
    files: dict[str, FileEntry]
    image: ImageRule
    prompts: Prompts
    decoder: DecoderSpec
    defaults: Settings
    versions: dict[str, str] = field(default_factory=dict)
    lowered: dict[str, str] = field(default_factory=dict)
    quality: Quality | None = None
    video: VideoRule | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        missing = sorted(set(self.defaults.layers) - set(self.decoder.tapped_layers))
        if missing:
            raise ValueError(f"the default layer {missing[0]} is not tapped")
        if self.weights != "float32" and self.dtype != "float32":
            raise ValueError(f"weights in {self.weights} are widened, the dtype is {self.dtype}")
        used = self.prompts.single + self.prompts.pair
        if self.video is not None:
            used += self.video.segments
        literal = [*(segment.ids or () for segment in used), self.image.markup_ids()]
        largest = max((token for ids in literal for token in ids), default=0)
        if largest >= self.decoder.vocab_size:
            raise ValueError(f"the prompts use token {largest}, beyond the vocabulary")

    @property
    def precisions(self) -> dict[str, str]:
        """The precision of each component that was lowered; earlier bundles have it in quality."""
        return self.lowered or (self.quality.precision if self.quality else {})

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that is named, in the bundle's folder."""
        return (*self.files, *(graph.file for graph in self.graphs.values()))


#: How a bundle's folder is read, and what is said of one that cannot be used.
BUNDLE = FolderKind(
    name="bundle",
    manifest=MANIFEST_FILE,
    content=Manifest,
    schema=SCHEMA_VERSION,
    source='the folder that carve-export wrote, or on the hub owner/name; "default" is the '
    "bundle that ships with the package",
    again="export the checkpoint again",
    error=BundleError,
    schema_error=SchemaError,
)
#: Write and read ``carve.json`` in a folder.
write_manifest, read_manifest = BUNDLE.write, BUNDLE.read
