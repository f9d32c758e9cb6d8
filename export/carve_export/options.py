"""How a checkpoint is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carve_export.precision import parse_precisions, require_calibration, require_lowerable
from carve_models.errors import SettingsError
from carve_models.graph_spec import Dtype
from carve_models.manifest import OPSETS, AttentionRows, Profile, Weights
from carve_models.settings import All


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export.

    Attributes:
        profile: ``ort`` uses ONNX Runtime's fused attention, ``portable`` standard operators.
        opset: ONNX operator set.
        dtype: what the bundle computes in, and the checkpoint is held in.
        weights: what matrices are stored as, where the dtype is float32.
        layers: decoder layers whose attention the graph returns; the family's rule if ``None``.
            With "all" that rule is the default setting.
        attention: whether their rows are means over heads, or each head's.
        max_pixels: most pixels that the model sees of an image; the family's choice if ``None``.
        prompts: replaced texts of the family's prompt layout.
        defaults: default settings of the bundle that differ from the method's.
        family: ``FILE.py:NAME`` of a family that is declared outside the package.
        margin: how many times PyTorch's own rounding the bundle's error may be; that of the dtype
            in :data:`carve_export.check.MARGINS` if ``None``.
        unchecked: do not compare with PyTorch now, nor measure lower precision, for models that a
            machine cannot run in full; ``carve-export verify`` can do the former later.
        precisions: of components that are lowered once the bundle was compared, see
            :func:`carve_export.precision.parse_precisions`.
        calibration: the questions that the lowered bundle is measured with, see
            :func:`carve_export.precision.calibration.read_entries`; goes with ``precisions``.
        overwrite: replace a bundle that is already there.
    """

    profile: Profile = "ort"
    opset: int = OPSETS[0]
    dtype: Dtype = "float32"
    weights: Weights = "float32"
    layers: tuple[int, ...] | All | None = None
    attention: AttentionRows = "mean"
    max_pixels: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None
    margin: float | None = None
    unchecked: bool = False
    precisions: tuple[str, ...] = ()
    calibration: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        chosen = parse_precisions(self.precisions) if self.precisions else {}
        if chosen:
            require_lowerable(chosen, self.profile, self.weights, self.dtype)
        given = self.calibration is not None
        require_calibration(chosen, given=given, measured=not self.unchecked)
        if self.dtype != "float32" and self.weights != "float32":
            raise SettingsError(
                f"the dtype is {self.dtype}, and weights are for a bundle that computes in float32",
                "give one of the two",
            )
        if self.dtype == "bfloat16" and not self.unchecked:
            raise SettingsError(
                "the runtime that compares a bundle with PyTorch cannot run bfloat16",
                "choose float16, or leave the comparison out with unchecked",
            )
