"""The families that are declared, looked up by name or by architecture."""

from __future__ import annotations

from difflib import get_close_matches

from carve_models.errors import FamilyError
from carve_models.family import Family
from carve_models.llava import LLAVA

FAMILIES: tuple[Family, ...] = (LLAVA,)


def family_named(name: str) -> Family:
    """Return the family that a manifest names, or raise :class:`FamilyError`."""
    for family in FAMILIES:
        if family.name == name:
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise FamilyError(
        f"the bundle is of the family {name!r}; this version knows {known}",
        "upgrade carve-vlm or export the checkpoint again with this version",
    )


def family_of(architecture: str) -> Family:
    """Return the family of a Hugging Face architecture, or raise :class:`FamilyError`."""
    by_architecture = {name: family for family in FAMILIES for name in family.architectures}
    if architecture in by_architecture:
        return by_architecture[architecture]
    nearest = get_close_matches(architecture, by_architecture, n=1, cutoff=0.0)[0]
    raise FamilyError(
        f"the checkpoint's architecture is {architecture!r}, which no declared family covers "
        f"(nearest: {nearest})",
        f"export one of {', '.join(by_architecture)}, or declare the family in carve_models",
    )
