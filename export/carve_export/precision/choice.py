"""The precision of each component."""

from __future__ import annotations

from typing import Literal, get_args

from carve_models.errors import SettingsError
from carve_models.graph_spec import Dtype
from carve_models.manifest import Profile, Weights

Precision = Literal[
    "fp32",
    "fp16",
    "bf16",
    "int8",
    "int8-static",
    "int4",
    "int4-only",
    "int4-nearest",
    "int8-nearest",
]
Component = Literal["vision_encoder", "embed_tokens", "decoder", "lm_head"]

#: Need an operator of ONNX Runtime's own, which computes in float32 and in half precision.
_IN_BLOCKS: tuple[Precision, ...] = ("int4", "int4-only", "int4-nearest", "int8-nearest")
#: Look at the weights alone, not at what they are multiplied with.
_ALONE: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int4-nearest", "int8-nearest")
#: Given for all components, these do not apply to those that lose most in them.
_COARSE: tuple[Precision, ...] = ("int8", "int8-static", *_IN_BLOCKS)
_SPARED: tuple[Component, ...] = ("embed_tokens", "lm_head")
#: For the token embedding, a table that is looked up in, not multiplied with.
_LOOKED_UP: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")


def parse_precisions(texts: tuple[str, ...]) -> dict[Component, Precision]:
    """Return the precision of each component.

    Args:
        texts: ``fp16`` for all components, or ``decoder=int4`` for one; the last one counts. A
            precision below 16 bits for all does not apply to the token embedding and ``lm_head``.

    Raises:
        SettingsError: an unknown component or precision, a precision that a component cannot have,
            or nothing to lower.
    """
    chosen: dict[Component, Precision] = dict.fromkeys(get_args(Component), "fp32")
    for text in texts:
        name, separator, value = text.rpartition("=")
        if value not in get_args(Precision) or (separator and name not in chosen):
            raise SettingsError(
                f"{text!r} is not a precision",
                f"give one of {', '.join(get_args(Precision))}, alone or as COMPONENT=PRECISION "
                f"with {', '.join(chosen)}",
            )
        for component in chosen:
            if separator and component == name:
                chosen[component] = value  # type: ignore[assignment]
            elif not separator:
                spared = component in _SPARED and value in _COARSE
                chosen[component] = "fp32" if spared else value  # type: ignore[assignment]
    if chosen["embed_tokens"] not in _LOOKED_UP:
        raise SettingsError(
            f"embed_tokens cannot be {chosen['embed_tokens']}, which is for matrix products",
            f"choose one of {', '.join(_LOOKED_UP)}",
        )
    if set(chosen.values()) == {"fp32"}:
        raise SettingsError("every component would stay fp32", "lower at least one")
    return chosen


def require_lowerable(
    chosen: dict[Component, Precision], profile: Profile, weights: Weights, dtype: Dtype
) -> None:
    """Raise :class:`SettingsError` if a bundle cannot be lowered to the chosen precisions.

    Args:
        chosen: the precision of each component.
        profile: the bundle's.
        weights: what its matrices are stored as.
        dtype: what it computes in.
    """
    if weights != "float32":
        raise SettingsError(
            f"the weights are stored as {weights}, and such a bundle cannot be lowered",
            "export the checkpoint with --weights float32",
        )
    if set(_IN_BLOCKS).intersection(chosen.values()) and profile == "portable":
        raise SettingsError(
            "int4 needs an operator of ONNX Runtime, and the bundle is portable",
            "choose int8, or export the checkpoint with --profile ort",
        )
    if dtype == "bfloat16":
        raise SettingsError(
            "the bundle computes in bfloat16, and what it computes cannot be compared here",
            "export the checkpoint with --dtype float16",
        )
    others = set(chosen.values()) - {"fp32", *_IN_BLOCKS}
    if dtype == "float16" and others:
        raise SettingsError(
            f"the bundle computes in float16, and {sorted(others)[0]} changes one that computes in "
            "float32",
            f"choose one of {', '.join(_IN_BLOCKS)}, or export the checkpoint with --dtype float32",
        )


def require_calibration(chosen: dict[Component, Precision], *, given: bool, measured: bool) -> None:
    """Raise :class:`SettingsError` if questions are needed and there are none, or the reverse.

    Args:
        chosen: the precision of each component; empty if nothing is lowered.
        given: whether there are questions.
        measured: whether what is lowered is measured with them.
    """
    needed = measured or not set(_ALONE).issuperset(chosen.values())
    if (chosen and needed and not given) or (given and not chosen):
        raise SettingsError(
            "a precision is measured with calibration questions, and one of the two is missing",
            "give precision and calibration together",
        )
