"""Scout mode: attention on few pixels, the crop from the original. Counts, not times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from carve_models.errors import SettingsError
from carve_models.image_rules import NativeImage, TiledImage
from carve_runtime import Carve, refine_image
from carve_runtime.cli.main import main
from carve_runtime.images.native import smart_resize
from carve_runtime.images.preprocess import preprocess
from tests.conftest import ExportOf

QUESTION = "What word is on the sign?"
PHOTO = np.random.default_rng(0).integers(0, 256, (240, 400, 3), np.uint8)
#: Case, most pixels of the attention passes, most of the final one; all below the model's own.
BUDGETS = [
    ("qwen2_5_vl", 8 * 8**2, 20 * 8**2),
    ("qwen3_vl", 8 * 8**2, 20 * 8**2),
    ("smolvlm", 4 * 32**2, 9 * 32**2),
    ("internvl", 32**2, 4 * 32**2),
]
NATIVE = NativeImage(
    min_pixels=4 * 28**2, max_pixels=64 * 28**2, patch_size=14, merge_size=2, temporal_patch_size=2
)
BY_EDGE = TiledImage(split="longest_edge", tile=32, tile_grid=(2, 2), longest_edge=128)
BY_ASPECT = TiledImage(split="closest_aspect", tile=32, tile_grid=(2, 2), min_tiles=2, max_tiles=9)


@pytest.fixture(scope="module", params=BUDGETS, ids=[name for name, *_ in BUDGETS])
def scout(request: pytest.FixtureRequest, export_of: ExportOf) -> tuple[Carve, dict[str, Any]]:
    """Return a model without memory, and a budget for it."""
    name, few, final = request.param
    vlm = Carve.load(export_of(name, "ort").folder, image_cache_bytes=0)
    return vlm, {"scout_pixels": few, "final_pixels": final}


def test_few_tokens_and_a_crop_of_the_original(scout: tuple[Carve, dict[str, Any]]) -> None:
    vlm, budget = scout
    full = vlm.ask(PHOTO, QUESTION, final_prompt="refined", max_new_tokens=2)
    result = vlm.ask(PHOTO, QUESTION, final_prompt="refined", max_new_tokens=2, **budget)
    assert np.prod(result.grid) < np.prod(full.grid)
    assert result.counts.decoder_tokens < full.counts.decoder_tokens
    assert result.saliency.shape == result.mask.shape == PHOTO.shape[:2]
    limit = budget["final_pixels"]
    refined, box = refine_image(PHOTO, result.mask, max_refined_pixels=limit)
    assert box == result.bbox
    np.testing.assert_array_equal(result.refined_image, refined)
    assert refined.shape[0] * refined.shape[1] <= limit


def test_the_passes_see_what_they_would_of_images_of_that_size(
    scout: tuple[Carve, dict[str, Any]],
) -> None:
    vlm, budget = scout
    spec = vlm.manifest.image
    result = vlm.ask(PHOTO, QUESTION, final_prompt="refined", max_new_tokens=2, **budget)
    assert result.grid == preprocess(PHOTO, spec.within(budget["scout_pixels"])).grid
    with vlm.open(result.refined_image, scout_pixels=budget["final_pixels"]) as session:
        assert session.plain(QUESTION, max_new_tokens=2).token_ids == result.token_ids


def test_the_pair_shows_the_scouted_image(scout: tuple[Carve, dict[str, Any]]) -> None:
    vlm, budget = scout
    alone = vlm.ask(PHOTO, QUESTION, final_prompt="refined", max_new_tokens=2, **budget)
    pair = vlm.ask(PHOTO, QUESTION, final_prompt="pair", max_new_tokens=2, **budget)
    np.testing.assert_array_equal(pair.mask, alone.mask)
    with vlm.open(PHOTO, scout_pixels=budget["scout_pixels"]) as session:
        actual = session.ask(QUESTION, final_prompt="pair", max_new_tokens=2, **budget)
        assert actual.token_ids == pair.token_ids
        with pytest.raises(SettingsError, match="the image was opened with"):
            session.ask(QUESTION, scout_pixels=budget["scout_pixels"] + 1)


def test_an_image_is_remembered_for_each_size(export_of: ExportOf) -> None:
    name, few, _ = BUDGETS[0]
    vlm = Carve.load(export_of(name, "ort").folder)
    changes: Any = {"max_new_tokens": 1, "final_prompt": "refined"}
    scouted = vlm.ask(PHOTO, QUESTION, scout_pixels=few, **changes)
    assert vlm.ask(PHOTO, QUESTION, **changes).grid != scouted.grid
    again = vlm.ask(PHOTO, QUESTION, scout_pixels=few, **changes)
    assert again.grid == scouted.grid
    assert again.counts.vision_runs == scouted.counts.vision_runs - 1


def test_the_rule_within_a_budget() -> None:
    assert NATIVE.within(10**9) == NATIVE
    assert NATIVE.within(28**2).min_pixels == NATIVE.within(28**2).max_pixels == 28**2
    assert NATIVE.within(16 * 28**2).min_pixels == NATIVE.min_pixels
    assert NATIVE.within(15 * 28**2).min_pixels == 15 * 28**2 // 4
    assert BY_EDGE.within(65**2).longest_edge == 64
    assert BY_EDGE.within(10**9) == BY_EDGE
    assert BY_ASPECT.within(4 * 32**2).max_tiles == 4
    assert BY_ASPECT.within(32**2).min_tiles == 1
    for spec in (NATIVE, BY_EDGE, BY_ASPECT):
        with pytest.raises(SettingsError, match="at most 783 pixels were asked for"):
            spec.within(783)


@settings(max_examples=300, deadline=None)
@given(height=st.integers(1, 3000), width=st.integers(1, 3000), tokens=st.integers(2, 70))
def test_the_budget_is_kept(height: int, width: int, tokens: int) -> None:
    """By every image that is not thinner than the budget allows."""
    assume(max(height, width) <= tokens * min(height, width))
    budget = tokens * NATIVE.token_size**2
    rule = NATIVE.within(budget)
    high, wide = smart_resize(height, width, rule)
    assert rule.fewest_tokens <= high * wide // NATIVE.token_size**2 <= rule.most_tokens
    assert high * wide <= min(budget, NATIVE.max_pixels)


def test_a_small_image_grows_four_times_at_most(export_of: ExportOf) -> None:
    name, few, _ = BUDGETS[0]
    vlm = Carve.load(export_of(name, "ort").folder)
    small = PHOTO[:60, :100]
    result = vlm.ask(small, QUESTION, max_new_tokens=1, final_pixels=10**7, scout_pixels=few)
    np.testing.assert_array_equal(result.refined_image, refine_image(small, result.mask)[0])


def test_from_the_command_line(export_of: ExportOf, tmp_path: Path) -> None:
    name, few, final = BUDGETS[0]
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    command = ["ask", str(export_of(name, "ort").folder), str(photo), QUESTION, "--json"]
    limits = ["--scout-pixels", str(few), "--final-pixels", str(final)]
    done = CliRunner().invoke(main, [*command, *limits], catch_exceptions=False)
    actual = json.loads(done.stdout)
    width, height = actual["refined_size"]
    assert width * height <= final
    assert actual["settings"]["scout_pixels"] == few


def test_a_model_of_one_size_refuses(pocket: Carve) -> None:
    for name in ("scout_pixels", "final_pixels"):
        with pytest.raises(SettingsError, match="this model sees every image at"):
            pocket.ask(PHOTO, QUESTION, **{name: 10_000})  # type: ignore[call-overload]
    with pytest.raises(SettingsError, match="this model sees every image at"):
        pocket.open(PHOTO, scout_pixels=10_000)
    with pytest.raises(SettingsError, match="this model sees every image at 32 x 32"):
        TiledImage(split="none", tile=32, tile_grid=(2, 2)).within(10_000)
