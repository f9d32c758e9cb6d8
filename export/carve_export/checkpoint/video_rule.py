"""From a Hugging Face video processor's configuration to the bundle's rule for clips."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from transformers.utils import cached_file

from carve_export.checkpoint.image_rules.source import arithmetic, given
from carve_export.checkpoint.load import Checkpoint, metadata
from carve_export.checkpoint.prompts import VIDEO, text_segments, video_layout
from carve_models.families.family import VideoDeclaration
from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage
from carve_models.prompts.segment import Segment
from carve_models.video_rules.rule import ClipMarkup, ClipPixels, VideoRule
from carve_models.video_rules.sampling import Sampling

_log = logging.getLogger(__name__)

#: Seconds that SmolVLM's processor leaves out at either end of a long clip; no file changes it.
_SKIPPED_SECONDS = 1.0
#: Where the fields of a video processor stand: the first that is there, as Hugging Face reads them.
_FILES = "video_preprocessor_config.json", "preprocessor_config.json"
_WHOLE = "processor_config.json"
#: What every class says.
_USUAL: dict[str, Any] = {
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "fps": None,
    "num_frames": None,
    "min_frames": None,
    "max_frames": None,
    "temporal_patch_size": None,
}


def video_rule(checkpoint: Checkpoint, image: ImageRule) -> VideoRule | None:
    """Return what becomes of clips, ``None`` if the checkpoint takes none.

    Args:
        checkpoint: the checkpoint.
        image: its rule for images, whose layout of tokens frames share.

    Raises:
        CheckpointError: the configuration of its video processor cannot be read.
    """
    declared = checkpoint.family.video
    if declared is None or checkpoint.config.model_type not in declared.model_types:
        return None
    if declared.needs_file and not _document(checkpoint.source, _FILES[0]):
        return None
    layout = declared.layout or video_layout(checkpoint, declared.token)
    if layout is None:
        _log.warning("the chat template names no clips: the bundle will take none")
        return None
    with metadata("the video processor's configuration"):
        processor = _processor(checkpoint.source, declared)
        if processor.get("cap_pixels_per_frame"):
            _log.warning("cap_pixels_per_frame is not supported: the bundle will take no clips")
            return None
        rule = _rule(checkpoint, declared, processor, image, layout)
        return msgspec.convert(msgspec.to_builtins(rule), VideoRule)  # types and ranges


def _processor(source: str, declared: VideoDeclaration) -> dict[str, Any]:
    """Return the fields of a checkpoint's video processor, with the defaults of its class."""
    stored = _stored(source)
    present = {field: value for field, value in stored.items() if value is not None}
    processor = {**_USUAL, **declared.fields, **present}
    sizes = {"shortest_edge": stored.get("min_pixels"), "longest_edge": stored.get("max_pixels")}
    processor["size"] = {**given(processor["size"]), **given(sizes)}
    if sampling := stored.get("video_sampling"):  # SmolVLM2's files
        processor["num_frames"], processor["fps"] = sampling["max_frames"], sampling["fps"]
        processor["size"] = sampling["video_size"]
    return processor


def _stored(source: str) -> dict[str, Any]:
    """Return what the checkpoint's files say; Hugging Face takes the image processor's as well."""
    nested = _document(source, _WHOLE).get("video_processor")
    if isinstance(nested, dict):
        return nested
    return next(filter(None, (_document(source, name) for name in _FILES)), {})


def _document(source: str, name: str) -> dict[str, Any]:
    """Return a JSON file of a folder or of the hub; nothing if there is none."""
    path = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return {} if path is None else dict(json.loads(Path(path).read_text(encoding="utf-8")))


def _rule(
    checkpoint: Checkpoint,
    declared: VideoDeclaration,
    processor: dict[str, Any],
    image: ImageRule,
    layout: str,
) -> VideoRule:
    tokenizer, vision = checkpoint.tokenizer, checkpoint.config.vision_config
    first = tuple(tokenizer("").input_ids)
    texts = vars(declared.texts).items()
    return VideoRule(
        sampling=_sampling(declared, processor),
        frames=_FRAMES[type(image)](image, processor),
        prompt=(
            *((Segment(ids=first),) if first else ()),
            *text_segments(tokenizer, layout, VIDEO),
        ),
        markup=ClipMarkup(**{name: text_segments(tokenizer, text) for name, text in texts}),
        clip_pixels=_clip_pixels(processor) if declared.limits == "clip" else None,
        positions_per_second=getattr(vision, declared.seconds) if declared.seconds else None,
    )


def _sampling(declared: VideoDeclaration, processor: dict[str, Any]) -> Sampling:
    """Return the rule of a tag, which takes what it needs of these."""
    fields = {
        "kind": declared.sampling,
        "fps": processor["fps"] or declared.fps,
        "min_frames": processor["min_frames"] or 1,
        "max_frames": processor["num_frames"] or processor["max_frames"] or declared.max_frames,
        "multiple": processor["temporal_patch_size"] or 1,
        "skip_seconds": _SKIPPED_SECONDS,
    }
    sampling: Sampling = msgspec.convert(fields, Sampling)
    return sampling


def _clip_pixels(processor: dict[str, Any]) -> ClipPixels:
    size = given(processor["size"])
    return ClipPixels(fewest=size["shortest_edge"], most=size["longest_edge"])


def _native(image: NativeImage, processor: dict[str, Any]) -> NativeImage:
    """Return the rule of a frame that keeps its aspect ratio."""
    size = given(processor["size"])
    return msgspec.structs.replace(
        image,
        **arithmetic(processor),
        min_pixels=size["shortest_edge"],
        max_pixels=size["longest_edge"],
    )


def _tiled(image: TiledImage, processor: dict[str, Any]) -> TiledImage:
    """Return the rule of a frame that is one view: it is resized once more to its longer side."""
    longest = given(processor["size"]).get("longest_edge")
    return msgspec.structs.replace(
        image,
        **arithmetic(processor),
        split="none",
        longest_edge=longest,
        min_tiles=1,
        max_tiles=1,
    )


def _fixed(image: FixedImage, processor: dict[str, Any]) -> FixedImage:
    return msgspec.structs.replace(image, **arithmetic(processor))


_FRAMES: dict[type[ImageRule], Callable[[Any, dict[str, Any]], ImageRule]] = {
    FixedImage: _fixed,
    NativeImage: _native,
    TiledImage: _tiled,
}
