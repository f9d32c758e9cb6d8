"""List the licences of what the package and its extras bring, and refuse those outside a list.

``python -m tools.checks.licences`` reads the metadata of what is installed; ``licences.yaml`` lists
what is allowed. Packages that are not installed here are named, and not checked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ROOT = Path(__file__).parents[2]
_LISTS = Path(__file__).with_name("licences.yaml")
_LONGEST_NAME = 60  # longer fields hold the text of a licence
_BASE = "(all)"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A dependency, direct or not.

    Attributes:
        name: as PyPI writes it.
        version: that is installed.
        licences: SPDX's names, or what the package says where no list has it.
        extras: that bring it; ``(all)`` for the package without extras.
        refused: those of its licences that are not allowed for one of these extras.
    """

    name: str
    version: str
    licences: tuple[str, ...]
    extras: tuple[str, ...]
    refused: tuple[str, ...]


def packages() -> tuple[list[Package], list[str]]:
    """Return what is installed of all dependencies, by name, and the names of what is not."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    wanted = {_BASE: project["dependencies"], **project["optional-dependencies"]}
    brought: dict[str, set[str]] = {}
    for extra, requirements in wanted.items():
        for name in closure(requirements):
            brought.setdefault(name, set()).add(extra)
    found, missing = [], []
    for name, extras in sorted(brought.items()):
        try:
            found.append(_package(metadata.distribution(name), sorted(extras)))
        except metadata.PackageNotFoundError:
            missing.append(name)
    return found, missing


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of what requirements bring here, as far as it is installed."""
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(each), "") for each in requirements]
    while waiting:
        requirement, asked = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": asked}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for each, extra in seen if each == name}:
            seen.add((name, extra))
            waiting += [(need, extra) for need in _needs(name)]
    return {name for name, _ in seen}


def licences(package: Mapping[str, Any], classifiers: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a package's licences, from its metadata.

    Args:
        package: its metadata's fields.
        classifiers: its classifiers.
    """
    said = package.get("License-Expression") or package.get("License") or ""
    if said in ("", "UNKNOWN") or "\n" in said or len(said) > _LONGEST_NAME:
        of_classifiers = [each.split(" :: ")[-1] for each in classifiers if "License ::" in each]
        if not package.get("License-Expression"):
            said = " AND ".join(of_classifiers) or said.strip().split("\n")[0] or "none named"
    parts = re.split(r"\s+AND\s+|\s+OR\s+", said.strip())
    return tuple(dict.fromkeys(_spdx().get(part, part) for part in parts))


def refused(names: Iterable[str], extras: Iterable[str]) -> tuple[str, ...]:
    """Return the licences that one of the extras may not bring."""
    lists = _lists()
    may = [{*lists["everywhere"], *lists["by_extra"].get(extra, {})} for extra in extras]
    return tuple(name for name in names if not all(name in allowed for allowed in may))


def main() -> None:
    """Print the table; end with 1 if a licence is refused."""
    found, missing = packages()
    for package in found:
        mark = "FAIL" if package.refused else "ok"
        named = f"{package.name} {package.version}"
        licence = ", ".join(package.licences)
        print(f"{mark:5} {named:36} {licence:52} {', '.join(package.extras)}")
    print(f"--    not installed here: {', '.join(missing) or 'none'}")
    sys.exit(any(package.refused for package in found))


def _package(distribution: metadata.Distribution, extras: list[str]) -> Package:
    fields = distribution.metadata
    known = _lists()["by_package"].get(canonicalize_name(fields["Name"]))
    said = licences({key: fields[key] for key in set(fields)}, fields.get_all("Classifier") or [])
    names = (known,) if known else said
    return Package(
        name=fields["Name"],
        version=distribution.version,
        licences=names,
        extras=tuple(extras),
        refused=refused(names, extras),
    )


def _needs(name: str) -> list[Requirement]:
    try:
        return [Requirement(need) for need in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return []


@cache
def _lists() -> dict[str, dict[str, Any]]:
    lists: dict[str, dict[str, Any]] = yaml.safe_load(_LISTS.read_text())
    return lists


@cache
def _spdx() -> dict[str, str]:
    lists = [_lists()["everywhere"], *_lists()["by_extra"].values()]
    return {way: name for each in lists for name, ways in each.items() for way in ways}


if __name__ == "__main__":
    main()
