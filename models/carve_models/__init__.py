"""Declarations shared by the exporter and the runtime: families, the manifest, the settings."""

from carve_models.errors import CarveError
from carve_models.families.family import Family
from carve_models.families.registry import FAMILIES, family_of
from carve_models.manifest import Manifest, read_manifest, write_manifest
from carve_models.settings import VARIANTS, Settings

__all__ = [
    "FAMILIES",
    "VARIANTS",
    "CarveError",
    "Family",
    "Manifest",
    "Settings",
    "family_of",
    "read_manifest",
    "write_manifest",
]
