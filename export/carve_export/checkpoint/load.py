"""Load a Hugging Face checkpoint safely, and read from it what a bundle must know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers
from torch import nn

from carve_export.checkpoint.family import find_family
from carve_export.checkpoint.source import require_source
from carve_export.checkpoint.weights import DTYPES, compute_in_float32
from carve_models.errors import CarveError, CheckpointError, FamilyError, first_line
from carve_models.families.family import Family
from carve_models.graph_spec import Dtype
from carve_models.manifest import DecoderSpec, Weights
from carve_models.settings import ALL, MOST_LAYERS, All

#: Parameters that a byte of a weights' file may hold: two in 4 bits, and some that are shared.
_MOST_PER_BYTE = 4
_GENERATION_FILE = "generation_config.json"
#: Without the explicit refusal transformers would ask on the terminal.
_SAFELY = {"trust_remote_code": False}


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: eager attention, evaluation mode.

    Attributes:
        dtype: what it computes in.
    """

    source: str
    family: Family
    model: Any
    tokenizer: Any
    image_processor: Any
    dtype: Dtype = "float32"

    @property
    def config(self) -> Any:
        """The Hugging Face configuration."""
        return self.model.config

    @property
    def image_token_id(self) -> int:
        """The id that stands for an image token in Hugging Face prompts."""
        return int(getattr(self.config, self.family.image_token))

    @property
    def image_token(self) -> str:
        """The same token as text."""
        return str(self.tokenizer.convert_ids_to_tokens(self.image_token_id))

    def module(self, path: str) -> nn.Module:
        """Return the submodule at a family's dotted path."""
        module: nn.Module = self.model.get_submodule(path)
        return module


def load_checkpoint(
    source: str,
    declared_family: str | None = None,
    *,
    weights: Weights = "float32",
    dtype: Dtype = "float32",
) -> Checkpoint:
    """Load a folder or hub id; weights from safetensors only, no remote code, no pickle.

    Args:
        source: the folder or hub id.
        declared_family: see :func:`carve_export.checkpoint.family.find_family`.
        weights: what to hold matrices as, for a model that computes in float32.
        dtype: what the model computes in; its weights are held in that type.

    Raises:
        CheckpointError: it cannot be read, or uses attention that cannot be exported exactly.
        FamilyError: its architecture belongs to no declared family.
    """
    require_source(source)
    try:
        config = transformers.AutoConfig.from_pretrained(source, **_SAFELY)
        family = find_family(config, declared_family)
        _require_size(source, config)
        model, loading = getattr(transformers, config.architectures[0]).from_pretrained(
            source,
            dtype=DTYPES[weights if dtype == "float32" else dtype],
            attn_implementation="eager",
            use_safetensors=True,
            output_loading_info=True,
        )
        readers = _readers(source)
    except (CheckpointError, FamilyError):
        raise
    except Exception as error:  # a damaged checkpoint raises whatever its reader meets
        raise CheckpointError(
            f"{source} cannot be loaded: {first_line(error)}",
            "a checkpoint has config.json, complete *.safetensors, tokenizer and preprocessor; "
            "without a connection to the hub, give its folder",
        ) from error
    checkpoint = Checkpoint(source, family, model.eval(), *readers, dtype)
    _require_complete(source, loading)
    _require_supported(checkpoint)
    if weights != "float32":
        compute_in_float32(model, checkpoint.module(family.modules.embed_tokens))
    return checkpoint


def load_description(
    source: str, declared_family: str | None = None, *, dtype: Dtype = "float32"
) -> Checkpoint:
    """Read a folder that describes a model and has other people's graphs in place of its weights.

    The model has its modules and its configurations, and parameters without values.

    Args:
        source: the folder.
        declared_family: see :func:`carve_export.checkpoint.family.find_family`.
        dtype: what its graphs compute in.

    Raises:
        CheckpointError: its files cannot be read.
        FamilyError: its architecture belongs to no declared family.
    """
    with metadata(f"the description of the model in {source}"):
        config = transformers.AutoConfig.from_pretrained(source, **_SAFELY)
        family = find_family(config, declared_family)
        _require_size(source, config)
        with torch.device("meta"):
            model = getattr(transformers, config.architectures[0])(config)
        if Path(source, _GENERATION_FILE).is_file():
            model.generation_config = transformers.GenerationConfig.from_pretrained(source)
        checkpoint = Checkpoint(source, family, model, *_readers(source), dtype)
    _require_supported(checkpoint)
    return checkpoint


def _readers(source: str) -> tuple[Any, Any]:
    """Return the tokenizer and the image processor."""
    return (
        transformers.AutoTokenizer.from_pretrained(source, **_SAFELY),
        transformers.AutoImageProcessor.from_pretrained(source, **_SAFELY),
    )


@contextmanager
def metadata(what: str) -> Iterator[None]:
    """Turn whatever damaged metadata make a reader raise into a :class:`CheckpointError`.

    Args:
        what: is read, a file's name or a part of the checkpoint.
    """
    try:
        yield
    except CarveError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{what} cannot be used: {type(error).__name__}: {first_line(error)}",
            "correct the checkpoint's JSON files, or download it again",
        ) from error


def _require_size(source: str, config: Any) -> None:
    """Refuse sizes that the weights cannot fill, before memory is taken for them."""
    stored = sum(file.stat().st_size for file in Path(source).glob("*.safetensors"))
    depths = [getattr(part, "num_hidden_layers", 0) for part in (config, *_parts(config))]
    deepest = max((depth for depth in depths if isinstance(depth, int)), default=0)
    if deepest > MOST_LAYERS:
        raise CheckpointError(
            f"config.json names {deepest} layers", f"correct it: at most {MOST_LAYERS} are read"
        )
    if not stored:
        return  # of the hub
    with torch.device("meta"):
        model = getattr(transformers, config.architectures[0])(config)
    described = sum(parameter.numel() for parameter in model.parameters())
    if described > _MOST_PER_BYTE * stored:
        raise CheckpointError(
            f"config.json describes {described} parameters, and the weights of {source} have "
            f"{stored} bytes",
            "correct config.json, or download the checkpoint again",
        )


def _parts(config: Any) -> list[Any]:
    names = ("text_config", "vision_config")
    return [getattr(config, name) for name in names if hasattr(config, name)]


def _require_complete(source: str, loading: dict[str, Any]) -> None:
    """Refuse missing weights, which transformers would fill with random values."""
    for kind in ("missing_keys", "mismatched_keys", "error_msgs"):
        if loading.get(kind):
            first = min(map(str, loading[kind]))
            raise CheckpointError(
                f"the weights of {source} are incomplete ({kind.replace('_', ' ')}: {first})",
                "download the checkpoint again",
            )


def _require_supported(checkpoint: Checkpoint) -> None:
    family, config = checkpoint.family, checkpoint.config
    for path in filter(None, vars(family.modules).values()):
        try:
            checkpoint.module(path)
        except AttributeError:
            raise CheckpointError(
                f"the model has no module {path!r}", "use a Llama-like text model"
            ) from None
    vision = config.vision_config.model_type
    if vision not in family.vision_models:
        raise CheckpointError(
            f"the vision tower is a {vision!r}",
            f"{family.title} is exported with {', '.join(family.vision_models)}",
        )


def _context_length(text: Any) -> int:
    """Return how many positions attend to all before them: a sliding window limits the context."""
    window = getattr(text, "sliding_window", None)
    if window is None or not getattr(text, "use_sliding_window", True):
        return int(text.max_position_embeddings)
    return min(int(window), int(text.max_position_embeddings))


def decoder_spec(checkpoint: Checkpoint, layers: tuple[int, ...] | All | None) -> DecoderSpec:
    """Return the decoder's facts, with the tapped layers checked.

    Args:
        checkpoint: the checkpoint.
        layers: layers to tap, or "all"; the family's rule if ``None``.

    Raises:
        CheckpointError: a layer that the model does not have, or no end-of-sequence id.
    """
    with metadata("config.json"):
        return _decoder_spec(checkpoint, layers)


def _decoder_spec(checkpoint: Checkpoint, layers: tuple[int, ...] | All | None) -> DecoderSpec:
    text, family = checkpoint.config.text_config, checkpoint.family
    depth = text.num_hidden_layers
    usual = family.layers.layers(depth)
    tapped = range(depth) if layers == ALL else usual if layers is None else layers
    wrong = [layer for layer in tapped if not 0 <= layer < depth]
    if wrong:
        raise CheckpointError(
            f"layer {wrong[0]} does not exist in a text model of {depth} layers",
            f"choose from 0 to {depth - 1}",
        )
    eos = checkpoint.model.generation_config.eos_token_id
    if eos is None:
        eos = text.eos_token_id
    if eos is None or eos == []:
        raise CheckpointError(
            "neither generation_config.json nor config.json names an end-of-sequence id",
            "add eos_token_id to generation_config.json",
        )
    spec = DecoderSpec(
        layers=depth,
        attention_heads=text.num_attention_heads,
        key_value_heads=getattr(text, "num_key_value_heads", text.num_attention_heads),
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        hidden_size=text.hidden_size,
        vocab_size=text.vocab_size,
        context_length=_context_length(text),
        tapped_layers=tuple(sorted(set(tapped))),
        image_token_id=checkpoint.image_token_id,
        eos_token_ids=(eos,) if isinstance(eos, int) else tuple(eos),
        positions=family.positions,
        deepstack_layers=_deepstack_layers(checkpoint),
    )
    return msgspec.convert(msgspec.to_builtins(spec), DecoderSpec)  # types and ranges


def _deepstack_layers(checkpoint: Checkpoint) -> int:
    field = checkpoint.family.features.deepstack
    return 0 if field is None else len(getattr(checkpoint.config.vision_config, field))
