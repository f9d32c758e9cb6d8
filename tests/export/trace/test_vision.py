"""Image tokens are Hugging Face's for images of many shapes, from one graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModelForImageTextToText

from carve_models.manifest import Profile
from carve_runtime.bundle import open_bundle
from carve_runtime.decoder.model import Model
from carve_runtime.images.preprocess import preprocess
from carve_runtime.usage import Counts
from tests.conftest import CheckpointOf, ExportOf
from tests.hugging_face import VIEWS
from tests.support import CASES

Array = NDArray[Any]
# Width and height: ragged windows, one window, strips, one row of tokens, enlarged, shrunk.
SIZES = [(64, 64), (97, 71), (40, 120), (31, 17), (90, 42), (240, 16), (9, 9), (500, 333)]
PROFILE: dict[str, Profile] = {"qwen2_5_vl": "portable"}  # the pipeline's tests run these exports
ONE_GRID = "idefics3-one-view"
FAMILIES = [name for name, case in CASES.items() if case.family != "llava"]


@pytest.mark.parametrize("name", FAMILIES)
def test_image_tokens_at_many_sizes(
    name: str, export_of: ExportOf, checkpoint_of: CheckpointOf
) -> None:
    report = export_of(name, PROFILE.get(name, "ort"))
    encoder = Model(open_bundle(report.folder))
    views = VIEWS[CASES[name].family](checkpoint_of(name))
    model = AutoModelForImageTextToText.from_pretrained(
        checkpoint_of(name), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    random = np.random.default_rng(0)
    grids = set()
    for width, height in SIZES:
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        inputs = views.inputs([Image.fromarray(pixels)], "x")
        with torch.no_grad():
            output = model.get_image_features(
                **{key: value for key, value in inputs.items() if key in IMAGE_INPUTS}
            )
        actual = encoder.image_features(preprocess(pixels, report.manifest.image), Counts())
        grids.add(actual.model_input.grid)
        expected = torch.cat(list(output.pooler_output)).reshape(actual.tokens.shape).numpy()
        compare(f"{width} x {height}", actual.tokens, expected)
        if actual.deepstack is not None:
            expected = torch.stack([torch.cat(list(part)) for part in output.deepstack_features])
            compare("deepstack", actual.deepstack[0], expected.numpy())
    print(f"{name}: grids {sorted(grids)}")
    assert len(grids) >= 5 or name == ONE_GRID


IMAGE_INPUTS = ("pixel_values", "image_grid_thw")


def compare(title: str, actual: Array, expected: Array) -> None:
    difference, scale = np.abs(actual - expected).max(), np.abs(expected).max()
    print(f"{title}: {difference:.1e} of {scale:.1f}")
    assert difference <= 1e-5 * max(scale, 1.0)
