"""The settings that the C and JavaScript libraries offer, read from ``carve_models.settings``."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from carve_models.errors import SettingsError
from carve_models.settings import AUTO, MOST_COUNT, MOST_PIXELS, Settings

#: Settings that the libraries do not have in a table: a list of layers has code of its own, and
#: the method that reads general_instructions is refused. Every other setting is offered, or refused
#: by name.
NOT_IN_TABLES = frozenset({"layers", "general_instructions"})

_LOWEST = (0, 1)
_HIGHEST = (1, 100, MOST_PIXELS)


@dataclass(frozen=True)
class Choice:
    """A setting with named values, in the order that gives them their numbers."""

    name: str
    values: tuple[str, ...]
    default: str


@dataclass(frozen=True)
class Number:
    """A setting that is a number.

    Attributes:
        name: the setting.
        default: what a manifest without it means.
        low: lower limit.
        above: whether ``low`` itself is excluded.
        high: upper limit, or infinity.
        whole: whether only whole numbers are accepted.
        auto: whether "auto" is accepted.
        optional: whether ``None`` is accepted.
    """

    name: str
    default: float | None
    low: float
    above: bool
    high: float
    whole: bool
    auto: bool
    optional: bool

    @property
    def accepted(self) -> str:
        """What is accepted, in words; without "auto" and ``None``."""
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"{kind} above {self.low:g}, at most {self.high:.15g}"
        if self.high == math.inf:
            return f"{kind} of at least {self.low:g}"
        return f"{kind} from {self.low:g} to {self.high:.15g}"


def offered_settings() -> tuple[list[Choice], list[Number]]:
    """Return the settings with named values and those that are numbers, in their order.

    Raises:
        TypeError: a setting is neither, nor a flag: offer it by hand, or add it to
            ``NOT_IN_TABLES``.
        ValueError: a range has a limit that is not among those looked for here.
    """
    hints = get_type_hints(Settings)
    choices, numbers = [], []
    for field in fields(Settings):
        if field.name in NOT_IN_TABLES:
            continue
        hint, default = hints[field.name], field.default
        if hint is bool:
            continue
        if get_origin(hint) is Literal:
            choices.append(Choice(field.name, get_args(hint), str(default)))
        else:
            numbers.append(_number(field.name, hint, default))
    return choices, numbers


def offered_flags() -> dict[str, bool]:
    """Return the settings that are true or false, with what a manifest without them means."""
    hints = get_type_hints(Settings)
    return {each.name: bool(each.default) for each in fields(Settings) if hints[each.name] is bool}


def _number(name: str, hint: Any, default: Any) -> Number:
    kinds = get_args(hint) or (hint,)
    auto, optional = Literal[AUTO] in kinds, NoneType in kinds
    (kind,) = set(kinds) - {Literal[AUTO], NoneType}
    if kind not in (int, float):
        raise TypeError(f"the setting {name} is neither a choice, nor a number, nor a flag")
    above = kind is float and not _accepts(name, 0) and _accepts(name, math.ulp(0))
    low = 0 if above else _limit(name, _LOWEST, -1)
    high = math.inf if _accepts(name, MOST_COUNT) else _limit(name, _HIGHEST, 1)
    return Number(name, default, low, above, high, kind is int, auto, optional)


def _limit(name: str, candidates: tuple[int, ...], beyond: int) -> int:
    """Return the candidate that is accepted while the next number beyond it is not."""
    for value in candidates:
        if _accepts(name, value) and not _accepts(name, value + beyond):
            return value
    raise ValueError(f"the setting {name} has no limit among {candidates}: look for more")


def _accepts(name: str, value: object) -> bool:
    """Ask the settings themselves: their ranges stand in code, not in data."""
    try:
        Settings(layers=(0,), **{name: value})  # type: ignore[arg-type]
    except SettingsError:
        return False
    return True
