"""The graphs that a manifest's own figures imply; a bundle whose graphs differ is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

from carve_models import names
from carve_models.decoder_parts import DecoderPart
from carve_models.errors import BundleError
from carve_models.families.family import Positions
from carve_models.graph_spec import (
    Dtype,
    GraphSpec,
    Tensor,
    float32,
    float64,
    floating,
    int64,
)
from carve_models.image_rules import ImageRule
from carve_models.manifest import DecoderSpec, Manifest
from carve_models.names import BATCH, IMAGE_TOKENS, PAST, SEQUENCE, TOTAL

_MAX_PIXELS = int64("max_pixels")
#: Stands in ``image_ids`` where the features of an image stand in the prompt.
FEATURE = -1

_IMAGE = Tensor(name="image", dtype="uint8", shape=("height", "width", 3))


def expected_graphs(manifest: Manifest) -> dict[str, GraphSpec]:
    """Return the interface of each graph; symbolic dimensions are names."""
    decoder = manifest.decoder
    dtype = manifest.dtype
    embeds = floating(dtype, names.INPUTS_EMBEDS, BATCH, SEQUENCE, decoder.hidden_size)
    embed = GraphSpec(
        file=names.graph_file(names.EMBED_TOKENS),
        inputs=(int64(names.INPUT_IDS, BATCH, SEQUENCE),),
        outputs=(embeds,),
    )
    graphs = {
        names.VISION_ENCODER: _vision(manifest),
        names.EMBED_TOKENS: embed,
        **{
            part.name: decoder_interface(decoder, part, dtype)
            for part in (decoder.whole, *decoder.parts)
        },
        names.CARVE_REFINE: refine_interface(),
    }
    if _is_current(manifest.graphs.get(names.PREPROCESS)):
        rule, positions = manifest.image, manifest.decoder.positions
        graphs[names.PREPROCESS] = preprocess_interface(rule, positions)
    return graphs


def _is_current(listed: GraphSpec | None) -> bool:
    """Return whether this is a ``preprocess.onnx`` that takes a budget.

    Bundles made before have none, or one for images of one size. They can still be used by what
    does not run that graph.
    """
    return listed is not None and _MAX_PIXELS in listed.inputs


def _vision(manifest: Manifest) -> GraphSpec:
    rule, decoder = manifest.image, manifest.decoder
    outputs = [replace(rule.encoder_features(decoder.hidden_size), dtype=manifest.dtype)]
    if depth := decoder.deepstack_layers:
        shape = (1, depth, IMAGE_TOKENS, decoder.hidden_size)
        outputs.append(floating(manifest.dtype, names.DEEPSTACK_FEATURES, *shape))
    return GraphSpec(
        file=names.graph_file(names.VISION_ENCODER),
        inputs=rule.encoder_inputs(),
        outputs=tuple(outputs),
    )


def preprocess_interface(rule: ImageRule, positions: Positions) -> GraphSpec:
    """Return the interface of the graph from an image's bytes to its place in a prompt.

    Args:
        rule: what the vision encoder takes.
        positions: how the decoder's position ids grow.
    """
    axes = names.MROPE_AXES if positions == "mrope" else 1
    return GraphSpec(
        file=names.graph_file(names.PREPROCESS),
        inputs=(_IMAGE, _MAX_PIXELS),
        outputs=(
            *rule.encoder_inputs(),
            int64("image_ids", "image_length"),
            int64("image_positions", axes, "image_length"),
            int64("next_position"),
            int64("map_tokens", names.IMAGE_TOKENS),
            int64("grid", 2),
            float64("window", 4),
            int64("least_pixels"),
        ),
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


def decoder_interface(spec: DecoderSpec, part: DecoderPart, dtype: Dtype) -> GraphSpec:
    """Return the interface of the decoder or of one of its halves.

    Whatever the dtype, logits and attention rows are float32.
    """

    def cache(cached: list[str], length: str) -> list[Tensor]:
        shape = (BATCH, spec.key_value_heads, length, spec.head_dim)
        return [floating(dtype, name, *shape) for name in cached]

    states = floating(dtype, part.input_name, BATCH, SEQUENCE, spec.hidden_size)
    if part.is_last:
        result = float32(names.LOGITS, BATCH, 1, spec.vocab_size)
    else:
        result = floating(dtype, part.output_name, BATCH, SEQUENCE, spec.hidden_size)
    deepstack = []
    if spec.deepstack_layers and part.layers.start == 0:
        shape = (BATCH, spec.deepstack_layers, SEQUENCE, spec.hidden_size)
        deepstack.append(floating(dtype, names.DEEPSTACK_EMBEDS, *shape))
    axes: tuple[int | str, ...] = (BATCH, len(part.tapped), *spec.head_axes, TOTAL)
    rows = [float32(names.LAST_ROW, *axes)] if part.tapped else []
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
    _require_depth(manifest)
    for name, implied in expected_graphs(manifest).items():
        listed = manifest.graphs.get(name)
        if listed is None:
            raise BundleError(f"the manifest has no graph {name}", "export the checkpoint again")
        owner = f"the manifest's {name}"
        require_tensors(owner, "inputs", listed.inputs, implied.inputs)
        require_tensors(owner, "outputs", listed.outputs, implied.outputs)


def _require_depth(manifest: Manifest) -> None:
    """Refuse more layers than the graph has caches, before the name of each is made up."""
    layers, decoder = manifest.decoder.layers, manifest.graphs.get(names.DECODER)
    if decoder is not None and 2 * layers > len(decoder.inputs):
        raise BundleError(
            f"the manifest says that the decoder has {layers} layers, and lists "
            f"{len(decoder.inputs)} inputs of it",
            "the manifest was edited: copy the bundle again, or export it again",
        )


def require_tensors(
    owner: str, kind: str, actual: tuple[Tensor, ...], expected: tuple[Tensor, ...]
) -> None:
    """Raise :class:`BundleError` unless names, dtypes and fixed sizes agree, in order."""
    for pair in zip_longest(actual, expected):
        has, should_have = (tensor.signature if tensor else "nothing" for tensor in pair)
        if has != should_have:
            raise BundleError(
                f"among the {kind} of {owner} is {has}, expected {should_have}",
                "a file was swapped or edited: copy the bundle again, or export it again",
            )
