"""The families that are declared, looked up by architecture."""

from __future__ import annotations

from carve_models.families.family import Family
from carve_models.families.idefics3 import IDEFICS3
from carve_models.families.internvl import INTERNVL
from carve_models.families.llava import LLAVA
from carve_models.families.qwen2_5_vl import QWEN2_5_VL
from carve_models.families.qwen3_vl import QWEN3_VL

FAMILIES: tuple[Family, ...] = (LLAVA, QWEN2_5_VL, QWEN3_VL, IDEFICS3, INTERNVL)


def family_of(architecture: str) -> Family | None:
    """Return the family of a Hugging Face architecture, or ``None``."""
    for family in FAMILIES:
        if architecture in family.architectures:
            return family
    return None
