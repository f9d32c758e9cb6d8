"""The files of the repository that hold the tables."""

from __future__ import annotations

import re
from pathlib import Path

from tools.checks.settings_table import c, javascript, manifest_schema, providers
from tools.checks.settings_table.bundle_format import format_numbers
from tools.checks.settings_table.table import offered_settings

ROOT = Path(__file__).parents[3]

_C = ROOT / "runtime" / "c"
_JS = ROOT / "runtime" / "js" / "src"

#: Settings that ``carve_refine.onnx`` takes as numbers.
_GRAPH_CHOICES = ("strategy", "rule")


def generated_files() -> dict[Path, str]:
    """Return the text that each file should have; in the last three only a part is generated."""
    header, declarations = _C / "include" / "carve.h", _JS / "index.d.ts"
    document = ROOT / "docs" / "bundle.md"
    return {
        _C / "src" / "settings_table.h": c.settings_header(),
        _C / "src" / "bundle_format.h": c.format_header(),
        _C / "src" / "provider_table.h": providers.provider_header(),
        _JS / "settings_table.js": javascript.settings_module(),
        _JS / "bundle_format.js": javascript.format_module(),
        _JS / "bundle" / "manifest_schema.js": manifest_schema.schema_module(),
        header: _with_settings(header, c.enumerations()),
        declarations: _with_settings(declarations, javascript.declarations()),
        document: _with_rows(document),
    }


def _with_settings(path: Path, settings: str) -> str:
    """Return a file's text with what stands between its two marks replaced."""
    marks = r"(settings: begin[^\n]*\n)(.*?)([^\n]*settings: end)"
    return _replaced(path, path.read_text(encoding="utf-8"), marks, settings)


def _with_rows(path: Path) -> str:
    """Return ``docs/bundle.md`` with the rows of its tables that hold numbers replaced."""
    choices, _ = offered_settings()
    text = path.read_text(encoding="utf-8")
    for choice in choices:
        if choice.name in _GRAPH_CHOICES:
            numbered = ", ".join(f"{i} `{value}`" for i, value in enumerate(choice.values))
            text = _replaced(
                path, text, rf"(\| `{choice.name}` \| int64 \| )(.*?)( \|\n)", numbered
            )
    version = f"{format_numbers()['SCHEMA_VERSION']:g}"
    return _replaced(path, text, r"(\| `schema_version` \| )(.*?)(;)", version)


def _replaced(path: Path, text: str, pattern: str, replacement: str) -> str:
    replaced, count = re.subn(
        pattern, lambda match: match[1] + replacement + match[3], text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{path} has {count} places for what is generated, expected one")
    return replaced
