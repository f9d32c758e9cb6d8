"""What image rules are read from, and the fields that all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from carve_export.checkpoint.load import Checkpoint
from carve_models.image_rules import Ids


@dataclass(frozen=True)
class RuleSource:
    """A checkpoint, as the readers of image rules see it.

    Attributes:
        checkpoint: the checkpoint with its image processor.
        encode: gives the ids of the texts that a prompt has around tiles.
        max_pixels: most pixels that the export is told to let the model see, or ``None``.
    """

    checkpoint: Checkpoint
    encode: Callable[[str], Ids]
    max_pixels: int | None

    @cached_property
    def processor(self) -> dict[str, Any]:
        """The fields of ``preprocessor_config.json``, with the processor's own defaults."""
        return dict(self.checkpoint.image_processor.to_dict())

    @property
    def vision(self) -> Any:
        """The configuration of the vision encoder."""
        return self.checkpoint.config.vision_config

    @property
    def shared(self) -> dict[str, Any]:
        """The fields of :class:`~carve_models.image_rules.rule.BaseImageRule`."""
        return arithmetic(self.processor)


def arithmetic(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of :class:`~carve_models.image_rules.rule.BaseImageRule` of a processor."""
    resample: Any = Image.Resampling(processor.get("resample", Image.Resampling.BILINEAR))
    normalizes = processor.get("do_normalize", False)
    return {
        "resample": resample.name.lower(),
        "rescale_factor": processor["rescale_factor"] if processor.get("do_rescale") else 1.0,
        "mean": tuple(processor["image_mean"]) if normalizes else None,
        "std": tuple(processor["image_std"]) if normalizes else None,
    }


def given(size: Mapping[str, int | None]) -> dict[str, int]:
    """Return the entries of a processor's size that are set."""
    return {name: value for name, value in dict(size).items() if value is not None}
