"""Find the family of a checkpoint, built in or declared in a file of the user's."""

from __future__ import annotations

from difflib import SequenceMatcher
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
import transformers

from carve_models.errors import FamilyError
from carve_models.families.family import Family
from carve_models.families.registry import FAMILIES, family_of


def find_family(config: Any, declared: str | None = None) -> Family:
    """Return the family of a checkpoint.

    Args:
        config: the Hugging Face configuration.
        declared: ``FILE.py:NAME`` of a declaration that replaces the built-in ones.

    Raises:
        FamilyError: no family covers the architecture, or the declaration cannot be used.
    """
    architecture = (config.architectures or ["(none)"])[0]
    if declared is not None:
        family: Family | None = load_family(declared)
        assert family is not None
        if architecture not in family.architectures:
            raise FamilyError(
                f"{declared} declares {', '.join(family.architectures)}, the checkpoint's "
                f"architecture is {architecture!r}",
                "add it to the declaration's architectures, or give another checkpoint",
            )
        return family
    family = family_of(architecture)
    if family is None:
        known = ", ".join(name for family in FAMILIES for name in family.architectures)
        raise FamilyError(
            f"no family covers the checkpoint's architecture {architecture!r}; "
            f"{_nearest(architecture, config)}",
            "declare it and pass --family FILE.py:NAME, as docs/families.md shows, or export one "
            f"of {known}",
        )
    return family


def load_family(declared: str) -> Family:
    """Run the user's ``FILE.py`` and return its ``NAME``; errors as for :func:`find_family`."""
    file, _, name = declared.rpartition(":")
    path = Path(file)
    if not path.is_file() or path.suffix != ".py" or not name.isidentifier():
        raise FamilyError(
            f"{declared!r} does not name a Python file and a variable",
            "write --family FILE.py:NAME",
        )
    spec = spec_from_file_location(f"carve_family_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        raise FamilyError(
            f"{path} cannot be run: {type(error).__name__}: {error}", "see docs/families.md"
        ) from error
    family = getattr(module, name, None)
    if not isinstance(family, Family):
        raise FamilyError(
            f"{path} has no carve_models.Family called {name!r}", "see docs/families.md"
        )
    return family


def _nearest(architecture: str, config: Any) -> str:
    """Name the family whose declaration fits a model best, and what the model lacks of it."""
    by_name = sorted(FAMILIES, key=lambda family: -_likeness(architecture, family))
    try:
        with torch.device("meta"):
            model = getattr(transformers, architecture)(config)
    except Exception:  # not in transformers, or not buildable without weights
        return f"nearest by name is {by_name[0].title}, and transformers cannot build the model"
    modules = {name for name, _ in model.named_modules()}
    gaps = {family.name: _gaps(modules, config, family) for family in by_name}
    nearest = min(by_name, key=lambda family: len(gaps[family.name]))
    lacks = "; ".join(gaps[nearest.name]) or "all modules that it names are there"
    return f"nearest is {nearest.title}, and {lacks}"


def _likeness(architecture: str, family: Family) -> float:
    return max(SequenceMatcher(None, architecture, name).ratio() for name in family.architectures)


def _gaps(modules: set[str], config: Any, family: Family) -> list[str]:
    """Return what a model lacks of a family's declaration."""
    paths = [path for path in vars(family.modules).values() if path is not None]
    gaps = [f"the model has no module {path!r}" for path in paths if path not in modules]
    vision = getattr(config, "vision_config", None)
    tower = getattr(vision, "model_type", None)
    if tower not in family.vision_models:
        gaps.append(f"its vision tower is a {tower!r}")
    gaps += [
        f"its vision_config has no {field}"
        for field in family.vision_fields
        if not hasattr(vision, field)
    ]
    if not hasattr(config, family.image_token):
        gaps.append(f"its configuration has no {family.image_token}")
    return gaps
