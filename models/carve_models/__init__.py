"""What the exporter and the runtime agree on: declarations, and the files that travel between them.

In: the families, which say how a kind of Hugging Face checkpoint becomes a bundle; ``carve.json``
and ``engines.json``, read and validated. Out: frozen objects of the families, the manifest with
its image rule and prompts, the settings and the names of graphs, tensors and errors. Nothing here
computes on arrays or imports more than msgspec and click.
"""

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
