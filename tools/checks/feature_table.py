"""Make docs/languages.md's tables of what each library can do, and look its names up in the code.

Usage: python -m tools.checks.feature_table [--write]
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
import yaml

import carve_runtime
from carve_models.settings import Settings
from tools.checks.blocks import fill
from tools.checks.settings_table.javascript import camel

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "languages.md"
BEGIN, END = "<!-- features: begin -->", "<!-- features: end -->"
_FEATURES = Path(__file__).with_name("features.yaml")
_HEADER = ROOT / "runtime" / "c" / "include" / "carve.h"
_DECLARATIONS = sorted((ROOT / "runtime" / "js" / "src").glob("*.d.ts"))
#: What the libraries in C and JavaScript take of a setting; they refuse the rest by name.
_TAKES = {
    "resize_refined": "`by_size` as `twice`; `once` is refused",
    "method": "`contrast` and `question`; the others are refused",
}
#: Settings that they do not have.
_LACKING = {"general_instructions": "no: the method that reads them is refused"}
#: ``Class.member(parameter)``; all but the first part may be missing.
_NAME = re.compile(r"(\w+)(?:\.(\w+))?(?:\((\w+)\))?")


@dataclass(frozen=True)
class Feature:
    """Something that users can do.

    Attributes:
        name: in words.
        names: what it is called, by library; a mapping with ``lacks`` where it is not there.
    """

    name: str
    names: dict[str, Any]


def features() -> list[Feature]:
    """Return the features of ``features.yaml``."""
    rows = yaml.safe_load(_FEATURES.read_text(encoding="utf-8"))
    libraries = {"Python": "python", "C": "c", "JavaScript": "javascript"}
    return [
        Feature(row["feature"], {title: row[key] for title, key in libraries.items()})
        for row in rows
    ]


def missing() -> list[str]:
    """Return the names that are in the table and not in the code."""
    return [
        f"{library}: {called}"
        for feature in features()
        for library, called in feature.names.items()
        if isinstance(called, str) and not _LOOKUPS[library](called)
    ]


def _parts(called: str) -> tuple[str, str | None, str | None]:
    found = _NAME.fullmatch(called)
    if found is None:
        raise ValueError(f"{called!r} is not a name, Class.member or Class.member(parameter)")
    return found[1], found[2], found[3]


def _in_python(called: str) -> bool:
    name, member, parameter = _parts(called)
    thing: Any = getattr(carve_runtime, name, None)
    if member is not None:
        declared = getattr(thing, "__dataclass_fields__", {})
        if member in declared:
            return parameter is None
        thing = getattr(thing, member, None)
    if thing is None or parameter is None:
        return thing is not None
    return parameter in inspect.signature(thing).parameters


def _in_c(called: str) -> bool:
    text = _HEADER.read_text(encoding="utf-8")
    name, member, _ = _parts(called)
    if member is None:
        return f" {name}(" in text
    body = re.search(rf"typedef struct {name} {{(.*?)}} {name};", text, re.DOTALL)
    return body is not None and _has_word(body[1], member)


def _in_javascript(called: str) -> bool:
    text = "\n".join(path.read_text(encoding="utf-8") for path in _DECLARATIONS)
    name, member, parameter = _parts(called)
    declared = rf"^export (?:class|interface|type|function) {name}\b(.*?)(?=^export |\Z)"
    body = re.search(declared, text, re.DOTALL | re.MULTILINE)
    words = [word for word in (member, parameter) if word is not None]
    return body is not None and all(_has_word(body[1], word) for word in words)


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", text) is not None


_LOOKUPS: dict[str, Callable[[str], bool]] = {
    "Python": _in_python,
    "C": _in_c,
    "JavaScript": _in_javascript,
}


def tables() -> str:
    """Return Markdown: a table of features, and one of settings."""
    libraries = list(_LOOKUPS)
    rows = [f"| | {' | '.join(libraries)} |", f"| --- |{' --- |' * len(libraries)}"]
    rows += [
        f"| {feature.name} | {' | '.join(_cell(feature.names[name]) for name in libraries)} |"
        for feature in features()
    ]
    rows += ["", f"| setting | {' | '.join(libraries)} |", f"| --- |{' --- |' * len(libraries)}"]
    for field in fields(Settings):
        name = field.name
        spelled = {"Python": name, "C": name, "JavaScript": camel(name)}
        cells = [_setting_cell(name, library, spelled[library]) for library in libraries]
        rows.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(called: str | dict[str, str]) -> str:
    return f"`{called}`" if isinstance(called, str) else f"no: {called['lacks']}"


def _setting_cell(setting: str, library: str, spelled: str) -> str:
    if library == "Python":
        return f"`{spelled}`"
    takes = f": {_TAKES[setting]}" if setting in _TAKES else ""
    return _LACKING.get(setting, f"`{spelled}`{takes}")


def with_tables(page: str) -> str:
    """Return the page's text with the tables between their marks replaced."""
    return fill(page, BEGIN, END, tables())


@click.command()
@click.option("--write", is_flag=True, help="Rewrite docs/languages.md.")
def main(write: bool) -> None:
    """Print the tables, or put them into their page; fail on names that the code lacks."""
    if write:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        click.echo(tables())
    if lost := missing():
        sys.exit("not in the code: " + ", ".join(lost))


if __name__ == "__main__":
    main()
