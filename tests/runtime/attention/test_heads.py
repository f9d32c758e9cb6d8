"""A bundle with the attention of every head: what the method makes of it, and what people see."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_models.manifest import read_manifest
from carve_models.names import LAST_ROW
from carve_runtime import Attention, BundleError, Carve, SettingsError, load_image
from carve_runtime.attention.pictures import draw_attention
from tests.backends import take_the_cpu_for_a_device
from tests.comparing import assert_close
from tests.runtime.attention.test_attention import IMAGE, QUESTION
from tests.runtime.cli.commands import carve_run, failed
from tests.support import POCKET

CLOSE = 1e-5
LAYERS, HEADS = 4, 4  # of pocket


@pytest.fixture(scope="module")
def vlm(pocket_heads: Path) -> Carve:
    return Carve.load(pocket_heads, image_cache_bytes=0)


@pytest.fixture(scope="module")
def asked(vlm: Carve) -> Attention:
    return vlm.attend(IMAGE, QUESTION, generate=8)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"early_exit": True, "steps": "first"},
        {"layers": (0, 3)},
        {"method": "rollout", "layers": (0, 1, 2, 3), "steps": "all"},
    ],
)
def test_the_method_reads_their_mean(changes: Any, vlm: Carve, pocket: Carve) -> None:
    actual, expected = (each.ask(IMAGE, QUESTION, **changes) for each in (vlm, pocket))
    assert actual.question_attention.shape == expected.question_attention.shape
    assert_close(actual.question_attention, expected.question_attention, atol=CLOSE)
    assert_close(actual.saliency, expected.saliency, rtol=1e-3)
    assert (actual.answer, actual.bbox) == (expected.answer, expected.bbox)
    assert actual.counts == expected.counts


def test_passes_side_by_side(pocket_heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device."""
    expected = Carve.load(pocket_heads, threads=1).ask(IMAGE, QUESTION, steps="all")
    take_the_cpu_for_a_device(monkeypatch)
    actual = Carve.load(pocket_heads, threads=1).ask(IMAGE, QUESTION, steps="all")
    assert actual.counts.decoder_runs < expected.counts.decoder_runs
    assert_close(actual.question_attention, expected.question_attention, atol=CLOSE)
    assert_close(actual.general_attention, expected.general_attention, atol=CLOSE)
    assert actual.token_ids == expected.token_ids


def test_every_head_of_every_step(asked: Attention, pocket: Carve, tmp_path: Path) -> None:
    usual = pocket.attend(IMAGE, QUESTION, generate=8)
    assert asked.rows.shape == (usual.steps, LAYERS, HEADS, len(usual.ids))
    assert_close(asked.rows.mean(axis=2), usual.rows, atol=CLOSE)
    assert_close(asked.row(1, 2).sum(), 1, atol=CLOSE)
    for head in range(HEADS):
        row = asked.row(1, 2, head)
        assert_close(row.sum(), 1, atol=CLOSE)
        tokens = asked.grid_map(1, 2, head)
        np.testing.assert_array_equal(tokens.ravel(), row[asked.map_tokens])
        assert asked.map(1, 2, head).shape == asked.image_size[::-1]
    asked.save(tmp_path / "heads.npz")
    np.testing.assert_array_equal(Attention.load(tmp_path / "heads.npz").rows, asked.rows)


def test_a_row_of_maps_for_each_head(asked: Attention) -> None:
    picture = draw_attention(asked, load_image(IMAGE), words=False, heads=True)
    assert picture.size == (72 + 200, 22 + 200 * LAYERS * HEADS)
    rows = [np.asarray(picture.crop((72, 22 + 200 * i, 264, 214 + 200 * i))) for i in range(8)]
    assert all((first != second).any() for first, second in pairwise(rows))


def test_the_command(pocket_heads: Path, tmp_path: Path) -> None:
    output = tmp_path / "heads.png"
    result = carve_run("attend", pocket_heads, IMAGE, QUESTION, "--every-head", "-o", output)
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == [output]
    assert "layers 0, 1, 2, 3, each of 4 heads" in carve_run("info", pocket_heads).output


def test_heads_that_a_bundle_lacks(pocket: Carve, tmp_path: Path) -> None:
    attention = pocket.attend(IMAGE, QUESTION)
    message = r"mean over heads\. Export the checkpoint with --attention heads"
    with pytest.raises(SettingsError, match=message):
        attention.row(0, 2, 0)
    with pytest.raises(SettingsError, match=message):
        draw_attention(attention, load_image(IMAGE), heads=True)
    output = tmp_path / "heads.png"
    failed(
        carve_run("attend", "default", IMAGE, QUESTION, "--every-head", "-o", output), 2, message
    )
    assert not output.exists()


@pytest.mark.parametrize(
    ("layer", "head", "message"),
    [
        (2, HEADS, "head is 4. Give one from 0 to 3"),
        (2, "0", "head is '0'"),
        (LAYERS, 0, "layer 4 is not here, this bundle has 0, 1, 2, 3"),
    ],
)
def test_what_is_not_there(layer: Any, head: Any, message: str, asked: Attention) -> None:
    with pytest.raises(SettingsError, match=message):
        asked.row(0, layer, head)


def described(folder: Path, source: Path, attention: str | None) -> Path:
    """Copy a bundle whose manifest says what its rows are, or nothing, as those before it."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("checkpoint"))
    document = json.loads((folder / "carve.json").read_text())
    document["decoder"].pop("attention", None)
    if attention is not None:
        document["decoder"]["attention"] = attention
    (folder / "carve.json").write_text(json.dumps(document))
    return folder


def test_bundles_of_before_have_the_mean(pocket: Carve, tmp_path: Path) -> None:
    folder = described(tmp_path / "bundle", POCKET, None)
    assert read_manifest(folder).decoder.attention == "mean"
    assert Carve.load(folder).attend(IMAGE, QUESTION).heads is None


@pytest.mark.parametrize("attention", [None, "mean"])
def test_a_manifest_that_hides_the_heads(
    attention: str | None, pocket_heads: Path, tmp_path: Path
) -> None:
    folder = described(tmp_path / "bundle", pocket_heads, attention)
    with pytest.raises(BundleError, match=rf"{LAST_ROW}: float32\(\?, 4, 4, \?\), expected"):
        Carve.load(folder)
