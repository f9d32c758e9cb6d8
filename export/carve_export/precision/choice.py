"""Which component is to be in which precision."""

from __future__ import annotations

from typing import Literal, get_args

from carve_models.errors import SettingsError
from carve_models.manifest import Profile, Weights

Precision = Literal["fp32", "fp16", "bf16", "int8", "int8-static", "int4", "int4-only"]
Component = Literal["vision_encoder", "embed_tokens", "decoder", "lm_head"]

#: Those of a single operator, which no standard has.
_IN_BLOCKS: tuple[Precision, ...] = ("int4", "int4-only")
#: One word for all spares the components that lose most in these.
_COARSE: tuple[Precision, ...] = ("int8", "int8-static", *_IN_BLOCKS)
_SPARED: tuple[Component, ...] = ("embed_tokens", "lm_head")
#: What a table that is looked up in can be in: it multiplies nothing.
_LOOKED_UP: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")


def parse_precisions(texts: tuple[str, ...]) -> dict[Component, Precision]:
    """Return the precision of each component.

    Args:
        texts: ``fp16`` for all components, or ``decoder=int4`` for one; later ones count. Below 16
            bits, one word for all spares the token embedding and ``lm_head``.

    Raises:
        SettingsError: an unknown component or precision, one that a component cannot have, or none
            that is below float32.
    """
    chosen: dict[Component, Precision] = dict.fromkeys(get_args(Component), "fp32")
    for text in texts:
        name, separator, value = text.rpartition("=")
        if value not in get_args(Precision) or (separator and name not in chosen):
            raise SettingsError(
                f"{text!r} is no precision",
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
            f"embed_tokens is to be {chosen['embed_tokens']}, which is for products",
            f"choose one of {', '.join(_LOOKED_UP)}",
        )
    if set(chosen.values()) == {"fp32"}:
        raise SettingsError("every component is to stay fp32", "lower at least one")
    return chosen


def require_lowerable(
    chosen: dict[Component, Precision], profile: Profile, weights: Weights
) -> None:
    """Raise :class:`SettingsError` if bundles of this kind cannot be lowered so.

    Args:
        chosen: the precision of each component.
        profile: the bundle's.
        weights: what its matrices are stored as.
    """
    if weights != "float32":
        raise SettingsError(
            f"the weights are stored as {weights}, and lowered ones are made from float32",
            "export the checkpoint with --weights float32",
        )
    if set(_IN_BLOCKS).intersection(chosen.values()) and profile == "portable":
        raise SettingsError(
            "int4 needs an operator of ONNX Runtime, and the bundle is portable",
            "choose int8, or export the checkpoint with --profile ort",
        )
