"""The tables as JavaScript modules, and as TypeScript."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from carve_models.settings import VARIANTS
from tools.checks.settings_table.bundle_format import format_names, format_numbers
from tools.checks.settings_table.table import Choice, Number, offered_flags, offered_settings

_NOTE = "// Written by `python -m tools.checks.settings_table --write`: do not edit.\n"


def camel(name: str) -> str:
    """Return a setting's name as JavaScript spells it."""
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def settings_module() -> str:
    """Return ``settings_table.js``."""
    (choices, numbers), flags = offered_settings(), offered_flags()
    parts = [
        _constant(
            "A setting's values; the graph's numbers follow the order.",
            "CHOICES",
            {choice.name: _text(choice.values) for choice in choices},
        ),
        _constant(
            "What a number may be; `above`: the lowest is excluded, `optional`: null is accepted.",
            "NUMBERS",
            {number.name: _limits(number) for number in numbers},
        ),
        "/** Settings that are true or false. */\n"
        f"export const FLAGS = {_text([camel(name) for name in flags])};\n",
        _constant(
            "What a variant sets.",
            "VARIANTS",
            {
                name: f"{{ steps: {_text(steps)}, strategy: {_text(strategy)} }}"
                for name, (steps, strategy) in VARIANTS.items()
            },
        ),
        _constant(
            "What a manifest without the setting means.",
            "DEFAULTS",
            {
                **{choice.name: _text(choice.default) for choice in choices},
                **{number.name: _text(number.default) for number in numbers},
                **{name: _text(default) for name, default in flags.items()},
            },
        ),
    ]
    return "\n".join([_NOTE, *parts])


def format_module() -> str:
    """Return ``bundle_format.js``."""
    texts = {name: _text(value) for name, value in format_names().items()}
    numbers = {name: f"{value:g}" for name, value in format_numbers().items()}
    lines = [f"export const {name} = {value};" for name, value in (numbers | texts).items()]
    return "\n".join([_NOTE, *lines]) + "\n"


def declarations() -> str:
    """Return the members of the interface ``Settings`` in ``index.d.ts``."""
    choices, numbers = offered_settings()
    return "".join(
        [
            *(f"  {camel(choice.name)}: {_union(choice)};\n" for choice in choices),
            *(f"  /** {_sentence(number)} */\n  {_typed(number)};\n" for number in numbers),
            *(f"  {camel(name)}: boolean;\n" for name in offered_flags()),
        ]
    )


def _union(choice: Choice) -> str:
    return " | ".join(_text(value) for value in choice.values)


def _typed(number: Number) -> str:
    kinds = ["number", *(['"auto"'] if number.auto else []), *(["null"] if number.optional else [])]
    return f"{camel(number.name)}: {' | '.join(kinds)}"


def _sentence(number: Number) -> str:
    return f"{number.accepted[0].upper()}{number.accepted[1:]}."


def _limits(number: Number) -> str:
    flags = {
        "above": number.above,
        "whole": number.whole,
        "auto": number.auto,
        "optional": number.optional,
    }
    high = "" if number.high == math.inf else f", high: {number.high:.15g}"
    chosen = "".join(f", {name}: true" for name, holds in flags.items() if holds)
    words = _text(number.accepted)
    return f"{{ accepted: {words}, low: {number.low:g}{high}{chosen} }}"


def _constant(comment: str, name: str, members: Mapping[str, str]) -> str:
    lines = [f"  {camel(key)}: {value},\n" for key, value in members.items()]
    return f"/** {comment} */\nexport const {name} = {{\n{''.join(lines)}}};\n"


def _text(value: object) -> str:
    return json.dumps(value)
