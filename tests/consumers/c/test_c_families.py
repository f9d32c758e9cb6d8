"""libcarve answers as the Python runtime does with a bundle of every family."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from carve_models.manifest import read_manifest
from carve_runtime import Carve, load_image
from tests.conftest import ExportOf
from tests.consumers.c.libcarve import Library
from tests.consumers.c.test_c import c_options, compare
from tests.consumers.cases import answered
from tests.consumers.conftest import FamilyPairsOf
from tests.consumers.families import FAMILIES, FEW, QUESTION, pictures


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, library: Library, family_pairs_of: FamilyPairsOf) -> None:
    """The pair and one image about eight pictures, and every way to save or to bound the work."""
    pairs = family_pairs_of(family)
    model = library.open(pairs[0].bundle)
    for pair in pairs:
        pixels = load_image(pair.image)
        view = library.look(model, pixels, scout_pixels=pair.changes.get("scout_pixels"))
        compare(library, view, pair, c_options(library, model, pair.changes), fresh=True)
        library.c.carve_view_free(view)
    library.c.carve_model_free(model)


def test_a_view_has_its_own_budget(library: Library, export_of: ExportOf, tmp_path: Path) -> None:
    """Questions with the bundle's defaults are about the image as it was looked at."""
    bundle = tmp_path / "bundle"
    shutil.copytree(export_of("qwen2_5_vl", "ort").folder, bundle)
    least = read_manifest(bundle).image.least_pixels
    assert least
    document = json.loads((bundle / "carve.json").read_text())
    document["defaults"]["scout_pixels"] = 4 * least
    (bundle / "carve.json").write_text(json.dumps(document))
    changes = {"scout_pixels": 2 * least, "max_new_tokens": FEW}
    pair = answered(Carve.load(bundle), bundle, pictures(tmp_path)[1], QUESTION, changes)
    model = library.open(bundle)
    view = library.look(model, load_image(pair.image), scout_pixels=2 * least)
    compare(library, view, pair, library.options(model, max_new_tokens=FEW))
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)
