"""What the format of a bundle fixes: its version, and the names in it."""

from __future__ import annotations

from carve_export.questions import SCHEMA_VERSION as PROMPTS_SCHEMA
from carve_models import names
from carve_models.image_rules import FixedImage
from carve_models.interface import FEATURE, preprocess_interface, refine_interface
from carve_models.manifest import SCHEMA_VERSION
from carve_runtime.images.change import CELL
from carve_runtime.images.load import MIN_SIDE
from carve_runtime.method.refine import DEFAULT_GROWTH

#: Those of ``carve_models.names`` that the libraries need.
_NAMES = (
    "MANIFEST_FILE",
    "TOKENIZER_FILE",
    "PREPROCESS",
    "VISION_ENCODER",
    "EMBED_TOKENS",
    "DECODER",
    "DECODER_LOWER",
    "DECODER_UPPER",
    "CARVE_REFINE",
    "PIXEL_VALUES",
    "IMAGE_FEATURES",
    "INPUT_IDS",
    "INPUTS_EMBEDS",
    "ATTENTION_MASK",
    "POSITION_IDS",
    "DEEPSTACK_FEATURES",
    "DEEPSTACK_EMBEDS",
    "HIDDEN_STATES",
    "LOGITS",
    "LAST_ROW",
)

#: A bundle's images of one size; its sizes do not matter to the names.
_IMAGE = FixedImage(size=(1, 1), resize_to=(1, 1), grid=(1, 1), patch_size=1)


def format_numbers() -> dict[str, float]:
    """Return the numbers that readers share, by constant."""
    return {
        "SCHEMA_VERSION": SCHEMA_VERSION,
        "PROMPTS_SCHEMA": PROMPTS_SCHEMA,
        "MIN_SIDE": MIN_SIDE,
        "DEFAULT_MAX_ASPECT_RATIO": _IMAGE.max_aspect_ratio,
        "DEFAULT_GROWTH": DEFAULT_GROWTH,
        "FEATURE": FEATURE,
        "CHANGE_CELL": CELL,
    }


def format_names() -> dict[str, str]:
    """Return names of files, graphs and tensors, by constant."""
    prefixes = {
        "PAST_PREFIX": names.past_names([0])[0].split(".")[0],
        "PRESENT_PREFIX": names.present_names([0])[0].split(".")[0],
    }
    graphs = (preprocess_interface(_IMAGE, "sequential"), refine_interface())
    tensors = [tensor.name for graph in graphs for tensor in (*graph.inputs, *graph.outputs)]
    return {
        **{constant: getattr(names, constant) for constant in _NAMES},
        **prefixes,
        **{name.upper(): name for name in tensors},
    }
