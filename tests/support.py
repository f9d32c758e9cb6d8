"""Paths, cases and exports that several tests share."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from carve_models.manifest import Profile

TESTS = Path(__file__).parent
ROOT = TESTS.parent
GOLDENS = TESTS / "goldens"
PHOTOS = TESTS / "photos"
SCENES = TESTS / "scenes"
POCKET = ROOT / "models" / "pocket"
PROFILES: tuple[Profile, ...] = ("ort", "portable")


@dataclass(frozen=True)
class Case:
    """One checkpoint recipe of ``tests/cases``."""

    family: str
    name: str
    covers: str
    layers: tuple[int, ...]
    recipe: dict[str, Any]


def load_cases() -> list[Case]:
    """Return every case, in the order of the files."""
    cases = []
    for path in sorted((TESTS / "cases").glob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        for case in document["cases"]:
            layers = tuple(case.pop("layers"))
            cases.append(Case(family=document["family"], layers=layers, **case))
    return cases


CASES = {case.name: case for case in load_cases()}


def copied_pocket(folder: Path) -> Path:
    """Copy the pocket bundle without its checkpoint; return the copy."""
    return Path(shutil.copytree(POCKET, folder, ignore=shutil.ignore_patterns("checkpoint")))


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    """Let this process take no more of what ``resource`` numbers ``kind``, until the end."""
    before, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (before, hard))


@cache
def stored_goldens() -> dict[str, Any]:
    """Return the arrays of ``tests/goldens``, keys ``i/name``."""
    return dict(np.load(GOLDENS / "contrast.npz", allow_pickle=False))


def golden(index: int) -> dict[str, Any]:
    """Return one golden case by name."""
    prefix = f"{index}/"
    return {k.removeprefix(prefix): v for k, v in stored_goldens().items() if k.startswith(prefix)}
