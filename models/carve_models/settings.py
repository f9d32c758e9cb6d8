"""Hyper-parameters of CARVE, as named in ``docs/method.md``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from operator import index
from typing import Any, Literal, TypedDict, get_args

from carve_models.errors import SettingsError

Steps = Literal["first", "all", "last"]
Strategy = Literal["attention_sum", "size", "remove_small"]
Rule = Literal["released", "paper"]
Geometry = Literal["input", "released"]
FinalPrompt = Literal["pair", "refined"]
#: Ways to make a map of the attention (``docs/method.md``, "Other maps").
MapMethod = Literal[
    "contrast", "question", "relative", "rollout", "sharpest_layer", "sink_removal", "agreement"
]
Contrast = Literal["on", "off", "auto"]
ResizeRefined = Literal["by_size", "twice", "once"]
#: A value that is derived from the attention of each question (``docs/method.md``, "Automatic").
Auto = Literal["auto"]
AUTO: Auto = "auto"
#: Of layers, where an export is told which to expose.
All = Literal["all"]
ALL: All = "all"

Variant = Literal["v1", "v2", "v3", "v4"]

#: The released code's named variants: (steps, strategy).
VARIANTS: dict[Variant, tuple[Steps, Strategy]] = {
    "v1": ("first", "remove_small"),
    "v2": ("first", "size"),
    "v3": ("first", "attention_sum"),
    "v4": ("all", "attention_sum"),
}


#: Most pixels of a refined image and of a saliency map: four times what is read of an image.
MOST_PIXELS = 1 << 28
#: Largest whole number that every runtime holds exactly, JavaScript's too.
MOST_COUNT = 1 << 53
#: No model has more layers; a slip of the keyboard should not fill the memory.
MOST_LAYERS = 1000
#: Each is a pass of its own.
MOST_INSTRUCTIONS = 16
#: Characters of a value that a message shows.
_SHOWN = 200


def shown(value: object) -> str:
    """Return a value as a message shows it, cut where it is long."""
    try:
        text = repr(value)
    except Exception:  # an integer of thousands of digits, or a class of the caller's
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def require_choice(name: str, value: object, choices: object) -> None:
    """Raise :class:`SettingsError` unless ``value`` is one of a ``Literal``'s arguments."""
    allowed = get_args(choices)
    if not isinstance(value, str) or value not in allowed:
        raise SettingsError(f"{name} is {shown(value)}", f"choose one of {', '.join(allowed)}")


def require_range(name: str, value: object, low: float, high: float = math.inf) -> None:
    """Raise :class:`SettingsError` unless ``low <= value <= high`` (NaN never is)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SettingsError(f"{name} is {shown(value)}", "give a number")
    try:
        number = float(value)
    except OverflowError:
        raise SettingsError(f"{name} is {shown(value)}", "give a smaller number") from None
    if not low <= number <= high:
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise SettingsError(f"{name} is {shown(value)}", f"give a value {bounds}")


def require_positive(name: str, value: object) -> None:
    """Raise :class:`SettingsError` unless ``0 < value`` (NaN never is)."""
    require_range(name, value, 0)
    if value == 0:
        raise SettingsError(f"{name} is {shown(value)}", "give a value above 0")


def require_count(name: str, value: object, low: int = 1, most: float = MOST_COUNT) -> None:
    """Raise :class:`SettingsError` unless ``value`` is a whole number from ``low`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise SettingsError(f"{name} is {shown(value)}", "give a whole number")
    require_range(name, value, low)
    if int(value) > most:
        raise SettingsError(f"{name} is {shown(value)}", f"give a value of at most {most}")


def require_flag(name: str, value: object) -> None:
    """Raise :class:`SettingsError` unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise SettingsError(f"{name} is {shown(value)}", "give True or False")


def require_share_or_auto(name: str, value: object) -> None:
    """Raise :class:`SettingsError` unless ``0 < value <= 1`` or the value is "auto"."""
    if isinstance(value, str) and value == AUTO:
        return
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 < value <= 1):  # type: ignore[operator] # NaN never is
        raise SettingsError(
            f"{name} is {shown(value)}", f'give a number above 0, at most 1, or "{AUTO}"'
        )


def require_or_auto(check: Callable[..., None], name: str, value: object, *limits: float) -> None:
    """Apply one of the checks above, unless the value is "auto"."""
    if not isinstance(value, str) or value != AUTO:
        check(name, value, *limits)


class SettingsChanges(TypedDict, total=False):
    """Fields of :class:`Settings` as keyword arguments; ``None`` keeps the default."""

    layers: Sequence[int] | None
    steps: Steps | None
    strategy: Strategy | None
    rule: Rule | None
    mask_top_p: float | Auto | None
    max_regions: int | None
    outlier_percent: float | None
    method: MapMethod | None
    general_instructions: Sequence[str] | None
    contrast: Contrast | None
    regularizer: float | Auto | None
    geometry: Geometry | None
    final_prompt: FinalPrompt | None
    max_new_tokens: int | None
    max_refined_pixels: int | None
    scout_pixels: int | None
    final_pixels: int | None
    resize_refined: ResizeRefined | None
    early_exit: bool | None
    adaptive: bool | None
    sure_probability: float | None
    focused_entropy: float | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One complete set of hyper-parameters; a bundle's manifest carries its defaults.

    Attributes:
        layers: decoder layers ``L`` whose attention is fused, 0-based.
        steps: forward steps that are fused (``docs/method.md``, step 4).
        strategy: how regions are ranked or dropped (step 6).
        rule: how many ranked regions are kept: the released code's or the paper's count.
        mask_top_p: share ``p`` of the pixels that the threshold keeps, in (0, 1], or "auto".
        max_regions: ``K``, regions kept.
        outlier_percent: ``remove_small`` drops regions below this percentage of the mask.
        method: how a map is made of the attention (``docs/method.md``, "Other maps").
        general_instructions: for the method ``agreement``: texts that ask for nothing in
            particular, besides the bundle's own; ``None`` are the others that the paper compares.
        contrast: for the method ``contrast``: divide by the general instruction's attention, leave
            the question's as it is (the method ``question``), or decide for each question.
        regularizer: lambda of the contrast, or "auto".
        geometry: place the token grid over what the model saw (``input``) or stretch it over
            the whole image (``released``).
        final_prompt: ask again about the pair ``[I, I_refined]`` or ``I_refined`` alone.
        max_new_tokens: upper limit of forward steps of each pass.
        max_refined_pixels: upper limit of the magnified image; ``None`` is four times the
            original's pixels.
        scout_pixels: most pixels of the image that the attention passes see, for models of dynamic
            resolution; ``None`` is the model's own limit.
        final_pixels: most pixels of the refined image that the final pass sees, likewise.
        resize_refined: resize the crop ``twice``, to the refined image and from there to what the
            model takes, or ``once``, by the product of both filters; ``by_size``: ``once`` where
            the refined image has more than 2^20 pixels.
        early_exit: stop the attention passes above the deepest layer that they need (paper, C.7).
            They then give no plain answer; ``steps`` must be ``first``.
        adaptive: keep the plain answer, and do no more, where it is sure and focused.
        sure_probability: for ``adaptive``, least probability of the plain answer.
        focused_entropy: for ``adaptive``, largest attention entropy of the plain pass, in nats.
    """

    layers: tuple[int, ...]
    steps: Steps = "all"
    strategy: Strategy = "attention_sum"
    rule: Rule = "released"
    mask_top_p: float | Auto = 0.2
    max_regions: int = 3
    outlier_percent: float = 0.1
    method: MapMethod = "contrast"
    general_instructions: tuple[str, ...] | None = None
    contrast: Contrast = "on"
    regularizer: float | Auto = 1e-8
    geometry: Geometry = "input"
    final_prompt: FinalPrompt = "pair"
    max_new_tokens: int = 32
    max_refined_pixels: int | None = None
    scout_pixels: int | None = None
    final_pixels: int | None = None
    resize_refined: ResizeRefined = "by_size"
    early_exit: bool = False
    adaptive: bool = False
    sure_probability: float | None = None
    focused_entropy: float | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise SettingsError("layers is empty", "name at least one decoder layer")
        for layer in self.layers:
            require_count("layers", layer, low=0)
        if len(set(self.layers)) != len(self.layers):
            raise SettingsError(f"layers {shown(list(self.layers))} repeat", "name each layer once")
        require_choice("steps", self.steps, Steps)
        require_choice("strategy", self.strategy, Strategy)
        require_choice("rule", self.rule, Rule)
        require_choice("geometry", self.geometry, Geometry)
        require_choice("final_prompt", self.final_prompt, FinalPrompt)
        require_choice("method", self.method, MapMethod)
        require_choice("contrast", self.contrast, Contrast)
        self._require_instructions()
        require_choice("resize_refined", self.resize_refined, ResizeRefined)
        require_share_or_auto("mask_top_p", self.mask_top_p)
        require_count("max_regions", self.max_regions)
        require_range("outlier_percent", self.outlier_percent, 0.0, 100.0)
        require_or_auto(require_range, "regularizer", self.regularizer, 0.0)
        require_count("max_new_tokens", self.max_new_tokens)
        for name in ("max_refined_pixels", "scout_pixels", "final_pixels"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name), most=MOST_PIXELS)
        if self.sure_probability is not None:
            require_range("sure_probability", self.sure_probability, 0.0, 1.0)
        if self.focused_entropy is not None:
            require_range("focused_entropy", self.focused_entropy, 0.0)
        self._require_modes()

    def _require_instructions(self) -> None:
        texts = self.general_instructions
        if texts is None:
            return
        good = isinstance(texts, tuple) and all(
            isinstance(text, str) and text.strip() for text in texts
        )
        if not (good and 0 < len(set(texts)) == len(texts) <= MOST_INSTRUCTIONS):
            raise SettingsError(
                f"general_instructions is {shown(texts)}",
                f"give a list of 1 to {MOST_INSTRUCTIONS} different texts",
            )

    def _require_modes(self) -> None:
        for name in ("early_exit", "adaptive"):
            require_flag(name, getattr(self, name))
        if self.early_exit and self.steps != "first":
            raise SettingsError(
                f"early_exit sees the first step only, and steps is {self.steps!r}",
                'ask with steps "first", or without early_exit',
            )
        if self.early_exit and self.method == "rollout":
            raise SettingsError(
                "rollout follows the words of the answer, which early_exit does not generate",
                "choose one of the two",
            )
        if self.early_exit and self.adaptive:
            raise SettingsError(
                "adaptive judges the plain answer, which early_exit does not compute",
                "choose one of the two",
            )
        if self.adaptive and None in (self.sure_probability, self.focused_entropy):
            raise SettingsError(
                "adaptive has no thresholds in this bundle",
                "give sure_probability and focused_entropy, or write them into it with "
                "carve-eval --calibrate-adaptive",
            )

    def override(self, *, variant: Variant | None = None, **changes: Any) -> Settings:
        """Return a copy with a named variant applied first, then single settings.

        A change whose value is ``None`` is ignored, so optional arguments pass through.

        Raises:
            SettingsError: an unknown variant or setting, or a value out of range.
        """
        if variant is not None:
            require_choice("variant", variant, Variant)
            steps, strategy = VARIANTS[variant]
            changes = {"steps": steps, "strategy": strategy} | {
                name: value for name, value in changes.items() if value is not None
            }
        known = {field.name for field in fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise SettingsError(
                f"there is no setting named {unknown[0]!r}",
                f"choose from {', '.join(sorted(known))}",
            )
        given = {name: value for name, value in changes.items() if value is not None}
        if "layers" in given:
            try:
                given["layers"] = tuple(index(layer) for layer in given["layers"])
            except TypeError:
                raise SettingsError(
                    f"layers is {shown(given['layers'])}", "give a list of layer numbers"
                ) from None
        if isinstance(given.get("general_instructions"), list):
            given["general_instructions"] = tuple(given["general_instructions"])
        return replace(self, **given)
