"""The graphs that a manifest's own figures imply; a bundle whose graphs differ is refused."""

from __future__ import annotations

from itertools import zip_longest

from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_models.errors import BundleError
from carve_models.graph_spec import GraphSpec, Tensor, float32, float64, int64
from carve_models.image_rules import FixedImage, NativeImage, TiledImage
from carve_models.manifest import DecoderSpec, Manifest
from carve_models.names import BATCH, IMAGE_TOKENS, PAST, PATCHES, SEQUENCE, TOTAL, WINDOWS

_IMAGE = Tensor(name="image", dtype="uint8", shape=("height", "width", 3))

#: Row and column of a patch; entries of the position table that a patch lies between.
_AXES, _CORNERS = 2, 4


def expected_graphs(manifest: Manifest) -> dict[str, GraphSpec]:
    """Return the interface of each graph; symbolic dimensions are names."""
    decoder = manifest.decoder
    embeds = float32(names.INPUTS_EMBEDS, BATCH, SEQUENCE, decoder.hidden_size)
    embed = GraphSpec(
        file=names.graph_file(names.EMBED_TOKENS),
        inputs=(int64(names.INPUT_IDS, BATCH, SEQUENCE),),
        outputs=(embeds,),
    )
    graphs = {
        names.VISION_ENCODER: _vision(manifest),
        names.EMBED_TOKENS: embed,
        **{part.name: decoder_interface(decoder, part) for part in (decoder.whole, *decoder.parts)},
        names.CARVE_REFINE: refine_interface(),
    }
    if names.PREPROCESS in manifest.graphs and isinstance(manifest.image, FixedImage):
        graphs[names.PREPROCESS] = preprocess_interface(manifest.image)
    return graphs


def _vision(manifest: Manifest) -> GraphSpec:
    image, hidden = manifest.image, manifest.decoder.hidden_size
    inputs: tuple[Tensor, ...]
    match image:
        case FixedImage():
            inputs = (float32(names.PIXEL_VALUES, BATCH, 3, *image.size),)
            features = float32(names.IMAGE_FEATURES, BATCH, image.fewest_tokens, hidden)
        case TiledImage():
            inputs = (float32(names.PIXEL_VALUES, BATCH, 3, image.tile, image.tile),)
            features = float32(names.IMAGE_FEATURES, BATCH, image.tile_tokens, hidden)
        case NativeImage():
            inputs = _packed_inputs(image)
            features = float32(names.IMAGE_FEATURES, 1, IMAGE_TOKENS, hidden)
    outputs = [features]
    if depth := manifest.decoder.deepstack_layers:
        outputs.append(float32(names.DEEPSTACK_FEATURES, 1, depth, IMAGE_TOKENS, hidden))
    return GraphSpec(
        file=names.graph_file(names.VISION_ENCODER), inputs=inputs, outputs=tuple(outputs)
    )


def _packed_inputs(image: NativeImage) -> tuple[Tensor, ...]:
    values = 3 * image.temporal_patch_size * image.patch_size**2
    inputs = [
        float32(names.PIXEL_VALUES, PATCHES, values),
        int64(names.PATCH_POSITIONS, PATCHES, _AXES),
    ]
    if image.window_size is not None:
        per_window = (image.window_size * image.merge_size) ** 2
        inputs += [
            int64(names.WINDOW_PATCHES, WINDOWS, per_window),
            int64(names.PATCH_SLOTS, PATCHES),
        ]
    if image.position_side is not None:
        inputs += [
            int64(names.TABLE_INDICES, PATCHES, _CORNERS),
            float32(names.TABLE_WEIGHTS, PATCHES, _CORNERS),
        ]
    return tuple(inputs)


def preprocess_interface(image: FixedImage) -> GraphSpec:
    """Return the interface of the graph that makes ``pixel_values`` of an image's bytes."""
    return GraphSpec(
        file=names.graph_file(names.PREPROCESS),
        inputs=(_IMAGE,),
        outputs=(float32(names.PIXEL_VALUES, 1, 3, *image.size), float64("window", 4)),
    )


def refine_interface() -> GraphSpec:
    """Return the interface of steps 3 to 7 of ``docs/method.md`` (see ``docs/bundle.md``)."""
    return GraphSpec(
        file=names.graph_file(names.CARVE_REFINE),
        inputs=(
            float32("question_attention", "question_steps", "layers", "tokens"),
            float32("general_attention", "general_steps", "layers", "tokens"),
            int64("grid", 2),
            float64("window", 4),
            _IMAGE,
            float64("step_weights", "steps"),
            float64("layer_weights", "layers"),
            float64("regularizer"),
            float64("mask_top_p"),
            int64("max_regions"),
            int64("strategy"),
            int64("rule"),
            float64("outlier_percent"),
            int64("max_refined_pixels"),
        ),
        outputs=(
            float32("saliency", "height", "width"),
            Tensor(name="mask", dtype="bool", shape=("height", "width")),
            int64("bbox", 4),
            Tensor(name="refined_image", dtype="uint8", shape=("new_height", "new_width", 3)),
            Tensor(name="refined_limited", dtype="bool", shape=()),
        ),
    )


def decoder_interface(spec: DecoderSpec, part: DecoderPart) -> GraphSpec:
    """Return the interface of the decoder or of one of its halves."""

    def cache(names_: list[str], length: str) -> list[Tensor]:
        shape = (BATCH, spec.key_value_heads, length, spec.head_dim)
        return [float32(name, *shape) for name in names_]

    states = float32(part.input_name, BATCH, SEQUENCE, spec.hidden_size)
    if part.is_last:
        result = float32(names.LOGITS, BATCH, 1, spec.vocab_size)
    else:
        result = float32(part.output_name, BATCH, SEQUENCE, spec.hidden_size)
    deepstack = []
    if spec.deepstack_layers and part.layers.start == 0:
        shape = (BATCH, spec.deepstack_layers, SEQUENCE, spec.hidden_size)
        deepstack.append(float32(names.DEEPSTACK_EMBEDS, *shape))
    rows = [float32(names.LAST_ROW, BATCH, len(part.tapped), TOTAL)] if part.tapped else []
    return GraphSpec(
        file=names.graph_file(part.name),
        inputs=(
            states,
            int64(names.ATTENTION_MASK, BATCH, TOTAL),
            int64(names.POSITION_IDS, *spec.position_axes, BATCH, SEQUENCE),
            *cache(names.past_names(part.layers), PAST),
            *deepstack,
        ),
        outputs=(result, *rows, *cache(names.present_names(part.layers), TOTAL)),
    )


def require_interface(manifest: Manifest) -> None:
    """Raise :class:`BundleError` unless the listed graphs are the ones that the figures imply."""
    for name, expected in expected_graphs(manifest).items():
        listed = manifest.graphs.get(name)
        if listed is None:
            raise BundleError(f"the manifest has no graph {name}", "export the checkpoint again")
        for kind, has, wanted in (
            ("inputs", listed.inputs, expected.inputs),
            ("outputs", listed.outputs, expected.outputs),
        ):
            require_tensors(f"the manifest's {name}", kind, has, wanted)


def require_tensors(
    owner: str, kind: str, has: tuple[Tensor, ...], wanted: tuple[Tensor, ...]
) -> None:
    """Raise :class:`BundleError` unless names, dtypes and fixed sizes agree, in order."""
    for found, expected in zip_longest(has, wanted):
        signatures = [tensor.signature if tensor else "nothing" for tensor in (found, expected)]
        if signatures[0] != signatures[1]:
            raise BundleError(
                f"among the {kind} of {owner} is {signatures[0]}, expected {signatures[1]}",
                "a file was swapped or edited: copy the bundle again, or export it again",
            )
