"""``preprocess.onnx`` equals the runtime, see ``running``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.steps.graphs import write_step_graphs
from carve_models import names
from carve_models.image_rules import FixedImage
from carve_runtime import load_image
from carve_runtime.images.preprocess import preprocess
from tests.comparing import assert_close
from tests.export.steps.running import SINGLE_BYTES, onnx_runtime, open_vino
from tests.support import PHOTOS

COMMON: dict[str, Any] = {"size": (56, 48), "grid": (4, 3), "patch_size": 14}
SPECS = {
    "resize": FixedImage(resize_to=(56, 48), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), **COMMON),
    "pad": FixedImage(pad_color=(9, 200, 77), resize_to=(56, 48), **COMMON),
    "crop": FixedImage(resize_shortest_edge=60, crop=(56, 48), resample="lanczos", **COMMON),
    "crop beyond": FixedImage(resize_shortest_edge=51, crop=(56, 48), **COMMON),
    "sliver": FixedImage(resize_shortest_edge=60, crop=(56, 48), max_aspect_ratio=1.25, **COMMON),
    "crop alone": FixedImage(crop=(56, 48), **COMMON),
    "bilinear": FixedImage(resize_to=(56, 48), resample="bilinear", **COMMON),
    "box": FixedImage(resize_to=(56, 48), resample="box", **COMMON),
    "hamming": FixedImage(resize_to=(56, 48), resample="hamming", **COMMON),
}


@pytest.mark.parametrize("name", SPECS)
def test_preprocessing(name: str, tmp_path: Path) -> None:
    write_step_graphs(tmp_path, SPECS[name])
    path = tmp_path / names.graph_file(names.PREPROCESS)
    exact, single = onnx_runtime(path), open_vino(path)
    photo = load_image(PHOTOS / "portrait.jpg")
    for image in (photo, photo[:41, :333], photo[:30, :20], photo[:2, :3]):
        wanted = preprocess(image, SPECS[name])
        pixel_values, window = exact({"image": image})
        assert_close(pixel_values, wanted.feeds[names.PIXEL_VALUES])
        assert_close(window, wanted.window)
        pixel_values, _ = single({"image": image})
        std = np.min(SPECS[name].std or 1.0)
        level = SINGLE_BYTES / 255 / std + 1e-5
        assert np.abs(pixel_values - wanted.feeds[names.PIXEL_VALUES]).max() <= level


def test_a_filter_that_is_no_convolution_has_no_graph(tmp_path: Path) -> None:
    write_step_graphs(tmp_path, FixedImage(resize_to=(56, 48), resample="nearest", **COMMON))
    assert not (tmp_path / names.graph_file(names.PREPROCESS)).exists()
    assert (tmp_path / names.graph_file(names.CARVE_REFINE)).exists()
