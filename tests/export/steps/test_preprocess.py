"""``preprocess.onnx`` equals the runtime, see ``running``: for every kind of image rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from carve_export.checkpoint.image_rules import image_rule
from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_export.steps.graphs import write_step_graphs
from carve_models import names
from carve_models.errors import SettingsError
from carve_models.families.family import Positions
from carve_models.image_rules import FixedImage, ImageRule, NativeImage, TiledImage
from carve_models.interface import preprocess_interface
from carve_runtime import load_image
from carve_runtime.images.preprocess import preprocess
from carve_runtime.prompt.chunk import prompt_positions
from tests.conftest import CheckpointOf
from tests.export.steps.running import SINGLE_BYTES, Run, onnx_runtime, open_vino
from tests.runtime.images.test_rules import MARKUP, RULES
from tests.support import CASES, PHOTOS

Array = NDArray[Any]

COMMON: dict[str, Any] = {"size": (56, 48), "grid": (4, 3), "patch_size": 14}
COLORS: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
FIXED = {
    "resize": FixedImage(resize_to=(56, 48), **COLORS, **COMMON),
    "pad": FixedImage(pad_color=(9, 200, 77), resize_to=(56, 48), **COMMON),
    "crop": FixedImage(resize_shortest_edge=60, crop=(56, 48), resample="lanczos", **COMMON),
    "crop beyond": FixedImage(resize_shortest_edge=51, crop=(56, 48), **COMMON),
    "sliver": FixedImage(resize_shortest_edge=60, crop=(56, 48), max_aspect_ratio=1.25, **COMMON),
    "crop alone": FixedImage(crop=(56, 48), **COMMON),
    "bilinear": FixedImage(resize_to=(56, 48), resample="bilinear", **COMMON),
    "box": FixedImage(resize_to=(56, 48), resample="box", **COMMON),
    "hamming": FixedImage(resize_to=(56, 48), resample="hamming", **COMMON),
    "nearest": FixedImage(resize_to=(56, 48), resample="nearest", **COMMON),
}
#: Tags of 0 to 3 ids, nothing where ids may be left out, a fewest number above what budgets allow.
TAGS = tuple(
    tuple(tuple(range(10, 10 + (3 * row + column) % 4)) for column in range(7)) for row in range(7)
)
OTHERS: dict[str, ImageRule] = {
    **RULES,
    "native, thick": msgspec.structs.replace(
        RULES["native"], max_aspect_ratio=5.0, resample="nearest", **COLORS
    ),
    "closest aspect, tags": TiledImage(
        split="closest_aspect",
        min_tiles=3,
        max_tiles=7,
        tile=16,
        tile_grid=(2, 2),
        resample="lanczos",
        markup=msgspec.structs.replace(MARKUP, tiles=TAGS, begin=(), row_end=()),
        **COLORS,
    ),
    "closest aspect of a longest edge": TiledImage(
        split="closest_aspect", longest_edge=77, max_tiles=6, tile=16, tile_grid=(2, 2)
    ),
}
POSITIONS: dict[type[ImageRule], Positions] = {
    FixedImage: "sequential",
    TiledImage: "sequential",
    NativeImage: "mrope",
}

#: Height and width: usual ones, ragged, both sides of a change of order, single pixels, slivers.
SIZES = [(97, 128), (41, 333), (300, 20), (217, 163), (33, 31), (2, 3), (1, 400), (1, 1)]


@dataclass(frozen=True)
class Twins:
    """One rule in both languages."""

    rule: ImageRule
    positions: Positions
    run: Run

    def expected(self, image: Array, budget: int) -> dict[str, Array]:
        """Return what Python makes of an image, by the graph's names."""
        seen = preprocess(image, self.rule.within(budget) if budget else self.rule)
        at, following = prompt_positions([0], [seen], self.positions, 0)
        return {
            **seen.feeds,
            "image_ids": seen.ids,
            "image_positions": at.reshape(-1, len(seen.ids)),
            "next_position": np.asarray(following),
            "map_tokens": seen.map_tokens,
            "grid": np.asarray(seen.grid),
            "window": np.asarray(seen.window),
            "least_pixels": np.asarray(least_budget(self.rule)),
        }

    def actual(self, image: Array, budget: int) -> dict[str, Array]:
        """Return what the graph makes of it."""
        outputs = preprocess_interface(self.rule, self.positions).outputs
        given = self.run({"image": image, "max_pixels": np.asarray(budget, np.int64)})
        return {tensor.name: array for tensor, array in zip(outputs, given, strict=True)}


def least_budget(rule: ImageRule) -> int:
    """Return the smallest budget that is not refused, 0 if there is none."""
    low, high = 0, 1 << 26
    try:
        rule.within(high)
    except SettingsError:
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        try:
            rule.within(middle)
        except SettingsError:
            low = middle
        else:
            high = middle
    return high


def budgets(rule: ImageRule) -> list[int]:
    """Return no budget, the least, some that are ragged, and one that limits nothing."""
    least = least_budget(rule)
    return [0, least, 3 * least + 1, 11 * least - 1, 1 << 26] if least else [0]


def images() -> Iterator[Array]:
    """Return noise, of which no two pixels are alike: an order or a filter that differs shows."""
    for seed, size in enumerate(SIZES):
        yield np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def written(folder: Path, rule: ImageRule, positions: Positions) -> Path:
    write_step_graphs(folder, rule, positions)
    return folder / names.graph_file(names.PREPROCESS)


def assert_equal(twins: Twins) -> None:
    """Compare every output at every size, with every budget."""
    for image in images():
        for budget in budgets(twins.rule):
            expected, actual = twins.expected(image, budget), twins.actual(image, budget)
            assert list(actual) == list(expected)
            for name, array in expected.items():
                case = f"{name} of {image.shape} within {budget}"
                assert actual[name].dtype == array.dtype, case
                np.testing.assert_array_equal(actual[name], array, strict=True, err_msg=case)


@pytest.mark.parametrize("name", [*FIXED, *OTHERS])
def test_every_rule_at_every_size(name: str, tmp_path: Path) -> None:
    rule = {**FIXED, **OTHERS}[name]
    positions = POSITIONS[type(rule)]
    assert_equal(Twins(rule, positions, onnx_runtime(written(tmp_path, rule, positions))))


@pytest.mark.parametrize("name", CASES)
def test_every_family(name: str, checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(str(checkpoint_of(name)))
    encode = partial(checkpoint.tokenizer.encode, add_special_tokens=False)
    rule = image_rule(checkpoint, lambda text: tuple(encode(text)))
    positions = decoder_spec(checkpoint, CASES[name].layers).positions
    assert_equal(Twins(rule, positions, onnx_runtime(written(tmp_path, rule, positions))))


@pytest.mark.parametrize("name", ["resize", "pad", "crop", "hamming", "native", "longest edge"])
def test_in_single_precision(name: str, tmp_path: Path) -> None:
    rule = {**FIXED, **OTHERS}[name]
    positions = POSITIONS[type(rule)]
    twins = Twins(rule, positions, open_vino(written(tmp_path, rule, positions)))
    level = SINGLE_BYTES / 255 / np.min(rule.std or 1.0) + 1e-5
    photo = load_image(PHOTOS / "portrait.jpg")
    for image in (photo, photo[:41, :333], photo[:2, :3]):
        expected, actual = twins.expected(image, 0), twins.actual(image, 0)
        assert np.abs(actual[names.PIXEL_VALUES] - expected[names.PIXEL_VALUES]).max() <= level
        for output in ("image_ids", "image_positions", "map_tokens", "grid"):
            np.testing.assert_array_equal(actual[output], expected[output])


def test_standard_operators_alone(tmp_path: Path) -> None:
    rule = OTHERS["closest aspect, tags"]
    model = onnx.load(written(tmp_path, rule, "sequential"))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
