"""The tables as C headers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from carve_models.settings import VARIANTS
from tools.checks.settings_table.bundle_format import format_names, format_numbers
from tools.checks.settings_table.table import Choice, Number, offered_flags, offered_settings

_WIDTH = 99  # of a line that goes on
_NOTE = "/* Written by `python -m tools.checks.settings_table --write`: do not edit. */"

#: Where the public enumerators are shorter than their setting.
_ENUMERATORS = {"final_prompt": "FINAL", "resize_refined": "RESIZE"}


def enumerator(setting: str, value: str) -> str:
    """Return the public name of a choice's value."""
    return f"CARVE_{_ENUMERATORS.get(setting, setting.upper())}_{value.upper()}"


def enumerations() -> str:
    """Return the enumerations of ``carve.h``."""
    choices, _ = offered_settings()
    named = [*((choice.name, choice.values) for choice in choices), ("variant", tuple(VARIANTS))]
    blocks = []
    for name, values in named:
        members = [f"    {enumerator(name, value)} = {i}" for i, value in enumerate(values)]
        body = ",\n".join(members)
        blocks.append(f"typedef enum carve_{name} {{\n{body}\n}} carve_{name};")
    return "\n\n".join(blocks) + "\n"


def settings_header() -> str:
    """Return ``settings_table.h``."""
    choices, numbers = offered_settings()
    tables = [
        table(
            "Choices: name, default, values in the order of carve.h's enumerators.",
            "CHOICE_SETTINGS",
            [_choice(choice) for choice in choices],
        ),
        table(
            "Real numbers: name, default, lowest, whether it is excluded, highest, whether\n"
            " * CARVE_AUTO is accepted, the range in words.",
            "REAL_SETTINGS",
            [_real(number) for number in numbers if not (number.whole or number.optional)],
        ),
        table(
            "Real numbers that may be left out, CARVE_NONE in carve.h: name, lowest, highest, the\n"
            " * range in words.",
            "OPTIONAL_REAL_SETTINGS",
            [_optional_real(each) for each in numbers if each.optional and not each.whole],
        ),
        table(
            "Whole numbers: name, default, lowest, the range in words.",
            "WHOLE_SETTINGS",
            [
                f'{number.name}, {number.default}, {number.low}, "{number.accepted}"'
                for number in numbers
                if number.whole and not number.optional
            ],
        ),
        table(
            "Whole numbers that may be left out, 0 in carve.h: name, lowest, highest, the range in "
            "words.",
            "OPTIONAL_SETTINGS",
            [
                f'{number.name}, {number.low}, {number.high:.15g}, "{number.accepted}"'
                for number in numbers
                if number.whole and number.optional
            ],
        ),
        table(
            "True or false, 1 or 0 in carve.h: name, default.",
            "FLAG_SETTINGS",
            [f"{name}, {int(default)}" for name, default in offered_flags().items()],
        ),
        table(
            "Variants, in the order of carve.h's enumerators: what they set.",
            "VARIANT_SETTINGS",
            [
                f"{enumerator('steps', steps)}, {enumerator('strategy', strategy)}"
                for steps, strategy in VARIANTS.values()
            ],
        ),
    ]
    return header("CARVE_SETTINGS_TABLE_H", "\n".join(tables))


def format_header() -> str:
    """Return ``bundle_format.h``."""
    numbers = [f"#define {name} {value:g}" for name, value in format_numbers().items()]
    texts = [f'#define NAME_{name} "{value}"' for name, value in format_names().items()]
    return header("CARVE_BUNDLE_FORMAT_H", "\n".join([*numbers, "", *texts]) + "\n")


def _choice(choice: Choice) -> str:
    values = ", ".join(f'"{value}"' for value in choice.values)
    return f"{choice.name}, {enumerator(choice.name, choice.default)}, {values}"


def _real(number: Number) -> str:
    default = "CARVE_AUTO" if isinstance(number.default, str) else f"{number.default:g}"
    flags = [str(flag).lower() for flag in (number.above, number.auto)]
    limits = f"{number.low:g}, {flags[0]}, {_high(number)}, {flags[1]}"
    return f'{number.name}, {default}, {limits}, "{number.accepted}"'


def _optional_real(number: Number) -> str:
    return f'{number.name}, {number.low:g}, {_high(number)}, "{number.accepted}"'


def _high(number: Number) -> str:
    return "HUGE_VAL" if number.high == math.inf else f"{number.high:.15g}"


def table(comment: str, macro: str, rows: Sequence[str]) -> str:
    """Return a macro that applies ``X`` to each row."""
    lines = [f"#define {macro}(X)"]
    for row in rows:
        lines += textwrap.wrap(f"    X({row})", _WIDTH, subsequent_indent="      ")
    joined = [f"{line:<{_WIDTH}}\\" for line in lines[:-1]]
    return "\n".join([f"/* {comment} */", *joined, lines[-1]]) + "\n"


def header(guard: str, body: str) -> str:
    """Return a header of that body."""
    return f"{_NOTE}\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"
