"""libcarve answers as the Python runtime does with a bundle of every family."""

from __future__ import annotations

from pathlib import Path

import pytest

from carve_runtime import load_image
from tests.conftest import ExportOf
from tests.consumers.c.libcarve import Library
from tests.consumers.c.test_c import c_options, compare
from tests.consumers.families import FAMILIES, family_pairs, pictures


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, library: Library, export_of: ExportOf, tmp_path: Path) -> None:
    """The pair and one image about eight pictures, and every way to save or to bound the work."""
    bundle = export_of(family, "ort").folder
    model = library.open(bundle)
    for pair in family_pairs(bundle, pictures(tmp_path)):
        pixels = load_image(pair.image)
        view = library.look(model, pixels, scout_pixels=pair.changes.get("scout_pixels"))
        compare(library, view, pair, c_options(library, model, pair.changes), fresh=True)
        library.c.carve_view_free(view)
    library.c.carve_model_free(model)
