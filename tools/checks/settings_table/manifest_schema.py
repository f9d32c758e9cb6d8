"""The shape of ``carve.json`` as a JSON Schema, from the declarations that Python reads it with."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from carve_models.manifest import Manifest

#: Written for people, or of no use to a check: a page loads the schema.
_LEFT_OUT = frozenset({"title", "description", "default"})


def manifest_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of a manifest."""
    schema: dict[str, Any] = _plain(msgspec.json.schema(Manifest))
    return schema


def schema_module() -> str:
    """Return ``manifest_schema.js``."""
    text = json.dumps(manifest_schema(), indent=2)
    return (
        "// Written by `python -m tools.checks.settings_table --write`: do not edit.\n\n"
        "/** What carve.json must look like; what a schema cannot say is in manifest.js. */\n"
        f"export const MANIFEST_SCHEMA = {text};\n"
    )


def _plain(node: Any) -> Any:
    """Return a schema without what no check reads; names of properties stay, whatever they are."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "discriminator" in node:
        return _by_tag(**node["discriminator"])
    named = {"properties", "$defs"}
    return {
        key: {name: _plain(part) for name, part in value.items()} if key in named else _plain(value)
        for key, value in node.items()
        if key not in _LEFT_OUT
    }


def _by_tag(propertyName: str, mapping: dict[str, str]) -> dict[str, Any]:  # noqa: N803
    """Return the choice between classes by their tag: only errors of the one that is meant show."""
    return {
        "type": "object",
        "required": [propertyName],
        "properties": {propertyName: {"enum": list(mapping)}},
        "allOf": [
            {"if": {"properties": {propertyName: {"const": tag}}}, "then": {"$ref": target}}
            for tag, target in mapping.items()
        ],
    }
